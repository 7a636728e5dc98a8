//! Counting with time passed in: who waits, how long, and who is forgiven.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const START: Timestamp = Timestamp(1_795_194_000_000);

fn ada() -> Target {
    Target::Nobody([1; 16])
}

fn nth(n: u32) -> Target {
    let mut digest = [0; 16];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    Target::Nobody(digest)
}

#[test]
fn the_sixth_failure_of_an_account_has_to_wait_and_each_wait_doubles() {
    let attempts = Attempts::new(100);
    for _ in 0..5 {
        assert_eq!(attempts.spend(&ada(), HOME, START), Ok(()));
    }
    let wait = Duration::from_secs(15);
    let refused = TooMany { wait, limit: &BY_ACCOUNT };
    assert_eq!(attempts.spend(&ada(), HOME, START), Err(refused));
    let later = START.plus(wait);
    assert_eq!(attempts.spend(&ada(), HOME, later), Ok(()));
    let longer = TooMany { wait: wait * 2, ..refused };
    assert_eq!(attempts.spend(&ada(), HOME, later), Err(longer));
}

#[test]
fn the_wait_never_exceeds_the_window() {
    let attempts = Attempts::new(100);
    let mut now = START;
    for _ in 0..100 {
        match attempts.spend(&ada(), HOME, now) {
            Ok(()) => {}
            Err(TooMany { wait, .. }) => {
                assert!(wait <= WINDOW);
                now = now.plus(wait);
            }
        }
    }
}

#[test]
fn success_gives_an_account_a_fresh_start() {
    let attempts = Attempts::new(100);
    for _ in 0..4 {
        attempts.spend(&ada(), HOME, START).unwrap();
    }
    attempts.spend(&ada(), HOME, START).unwrap();
    attempts.forgive(&ada(), HOME, START);
    for _ in 0..5 {
        assert_eq!(attempts.spend(&ada(), HOME, START), Ok(()));
    }
}

#[test]
fn home_is_counted_apart_and_success_there_forgives_nothing_elsewhere() {
    let attempts = Attempts::new(100);
    let of = UserId(uuid::Uuid::nil());
    let (account, home) = (Target::Account(of), Target::Home(of, HOME));
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    for _ in 0..5 {
        attempts.spend(&account, elsewhere, START).unwrap();
    }
    attempts.spend(&account, elsewhere, START).unwrap_err();
    assert_eq!(attempts.spend(&home, HOME, START), Ok(()));
    attempts.forgive(&home, HOME, START);
    attempts.spend(&account, elsewhere, START).unwrap_err();
}

#[test]
fn who_is_welcome_somewhere_is_remembered_there_alone() {
    let attempts = Attempts::new(100);
    let of = UserId(uuid::Uuid::nil());
    attempts.welcome(of, "2001:db8::1".parse().unwrap(), START);
    let home = |text: &str| Target::Home(of, subscriber(text.parse().unwrap()));
    assert!(attempts.remember(&home("2001:db8::2")));
    assert!(!attempts.remember(&home("2001:db8:0:1::1")));
    assert!(!attempts.remember(&Target::Account(of)));
}

#[test]
fn failures_are_forgotten_after_the_window() {
    let attempts = Attempts::new(100);
    for _ in 0..4 {
        attempts.spend(&ada(), HOME, START).unwrap();
    }
    let later = START.plus(WINDOW);
    for _ in 0..5 {
        assert_eq!(attempts.spend(&ada(), HOME, later), Ok(()));
    }
    assert!(attempts.spend(&ada(), HOME, later).is_err());
}

#[test]
fn an_address_may_fail_a_hundred_times_whoever_it_names() {
    let attempts = Attempts::new(1_000);
    for n in 0..100 {
        assert_eq!(attempts.spend(&nth(n), HOME, START), Ok(()));
    }
    let refused = attempts.spend(&nth(100), HOME, START).unwrap_err();
    assert_eq!(refused.limit, &BY_ADDRESS);
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    assert_eq!(attempts.spend(&nth(100), elsewhere, START), Ok(()));
}

#[test]
fn signing_in_to_an_account_of_ones_own_buys_no_more_guesses() {
    let attempts = Attempts::new(1_000);
    for n in 0..99 {
        attempts.spend(&nth(n), HOME, START).unwrap();
        attempts.spend(&ada(), HOME, START).unwrap();
        attempts.forgive(&ada(), HOME, START);
    }
    attempts.spend(&nth(99), HOME, START).unwrap();
    assert!(attempts.spend(&ada(), HOME, START).is_err());
}

#[test]
fn an_attempt_that_was_never_judged_does_not_count() {
    let attempts = Attempts::new(100);
    for _ in 0..50 {
        assert_eq!(attempts.spend(&ada(), HOME, START), Ok(()));
        attempts.take_back(Some(&ada()), HOME, START);
    }
}

#[test]
fn a_whole_network_of_ipv6_is_one_subscriber() {
    let one = IpAddr::V6("2001:db8::1".parse::<Ipv6Addr>().unwrap());
    let two = IpAddr::V6("2001:db8::ffff:1".parse::<Ipv6Addr>().unwrap());
    let other = IpAddr::V6("2001:db8:0:1::1".parse::<Ipv6Addr>().unwrap());
    let mapped = IpAddr::V6("::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap());
    assert_eq!(subscriber(one), subscriber(two));
    assert_ne!(subscriber(one), subscriber(other));
    assert_eq!(subscriber(mapped), HOME);
}

#[test]
fn memory_is_bounded_and_the_busiest_are_remembered() {
    let attempts = Attempts::new(100);
    let now = START;
    for n in 0..10_000_u32 {
        let address = IpAddr::V4(Ipv4Addr::from(n));
        let _ = attempts.spend(&nth(n), address, now);
        let _ = attempts.spend(&ada(), address, now);
    }
    assert!(attempts.spend(&ada(), HOME, now).is_err());
    let counts = attempts.lock();
    assert!(counts.targets.young.len() + counts.targets.old.len() <= 100);
    assert!(counts.addresses.young.len() + counts.addresses.old.len() <= 100);
}
