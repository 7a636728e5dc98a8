//! Chance as the attacker.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::forger::{NOW, claims, rules};
use super::Stage;

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

#[test]
fn no_changed_bit_of_a_good_token_is_accepted() {
    for (name, key, set) in STAGE.signers() {
        let token = key.sign(&claims()).unwrap();
        assert!(set.verify(&token, &rules(), NOW).is_ok());
        for bit in 0..token.len() * 8 {
            let mut bytes = token.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // What is no text is no token for anybody who asks.
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(set.verify(&changed, &rules(), NOW).is_err(), "{name}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn no_token_with_several_changes_is_accepted(
        which in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (_, key, set) = STAGE.signers()[which];
        let token = key.sign(&claims()).unwrap();
        let mut bytes = token.clone().into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert_eq!(set.verify(&changed, &rules(), NOW).is_ok(), changed == token);
        }
    }

    #[test]
    fn no_text_is_accepted_or_breaks_the_reader(text in "[\\x00-\\x7f.]{0,200}") {
        for (_, _, set) in STAGE.signers() {
            prop_assert!(set.verify(&text, &rules(), NOW).is_err());
        }
    }
}
