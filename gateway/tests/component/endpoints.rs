//! Upstreams with several endpoints: who gets the next request, and what happens when one is down.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::sockets::{ask, switch};
use crate::support::{Gateway, PATIENCE, Peer, Upstream, gateway};

const GET: &str = "GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Everything holds for both ways.
const WAYS: [&str; 2] = ["gateway.lean_way=true", "gateway.lean_way=false"];
const IN_TURN: &str = "gateway.upstreams.chat.balance=round-robin";
/// Longer than a test takes.
const LONG_PAUSE: &str = "gateway.upstreams.chat.connect_failure_pause=1h";

/// A gateway of one core whose upstream `chat` has these endpoints; the first turn is the first one's.
async fn before(endpoints: &[SocketAddr], settings: &[&str]) -> Gateway {
    let urls: Vec<_> = endpoints.iter().map(|address| format!("http://{address}")).collect();
    let urls = format!("gateway.upstreams.chat.endpoints={urls:?}");
    let settings = [&["gateway.threads=1", urls.as_str()], settings].concat();
    gateway(endpoints[0], &settings).await
}

/// Sends `request` so many times, one after the other: each time it is well.
async fn all_well(gateway: &Gateway, request: &str, times: usize) {
    for _ in 0..times {
        let answer = gateway.ask(request).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
    }
}

fn loads<const N: usize>(upstreams: [&Upstream; N]) -> [usize; N] {
    upstreams.map(|upstream| upstream.saw().len())
}

/// An address that is taken, and where nobody listens yet.
struct Dead(TcpSocket);

impl Dead {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn comes_back(self) -> Upstream {
        Upstream::listening(self.0.listen(128).unwrap(), ok)
    }
}

async fn ok(mut peer: Peer) {
    while peer.request().await.is_some() {
        peer.caller.send(OK).await;
    }
}

/// An address that takes no more connections, and refuses none, as long as this is there.
struct Silent {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Silent {
    async fn new() -> Self {
        let listener = Dead::new().0.listen(1).unwrap();
        let (address, mut waiting) = (listener.local_addr().unwrap(), Vec::new());
        while let Ok(stream) =
            timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            waiting.push(stream.unwrap());
        }
        Self { listener, _waiting: waiting }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

/// An upstream that answers its first request when it is told to, and the others at once.
async fn slow_at_first() -> (Upstream, &'static Notify) {
    let told: &'static Notify = Box::leak(Box::default());
    let upstream = Upstream::start(move |mut peer| async move {
        while peer.request().await.is_some() {
            if peer.number == 0 {
                told.notified().await;
            }
            peer.caller.send(OK).await;
        }
    })
    .await;
    (upstream, told)
}

/// The value of a metric of the endpoint at `address`.
async fn metric(gateway: &Gateway, name: &str, address: SocketAddr) -> u64 {
    let metrics = gateway.operator("/metrics").await.body;
    let start =
        format!("gateway_upstream_endpoint_{name}{{upstream=\"chat\",endpoint=\"{address}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&start));
    value.unwrap_or_else(|| panic!("no {start} in {metrics}")).parse().unwrap()
}

/// Waits until so many requests are in flight at `address`.
async fn in_flight(gateway: &Gateway, address: SocketAddr, count: u64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = metric(gateway, "in_flight", address).await;
        if now == count {
            return;
        }
        assert!(Instant::now() < end, "{now} are in flight");
    }
}

#[tokio::test]
async fn requests_go_round_and_each_endpoint_keeps_its_connection() {
    for way in WAYS {
        let [a, b, c] = [Upstream::ok().await, Upstream::ok().await, Upstream::ok().await];
        let gateway = before(&[a.address, b.address, c.address], &[way, IN_TURN]).await;
        all_well(&gateway, GET, 15).await;
        all_well(&gateway, POST, 15).await;
        assert_eq!(loads([&a, &b, &c]), [10, 10, 10]);
        assert_eq!([&a, &b, &c].map(Upstream::connections), [1, 1, 1]);
        assert_eq!(metric(&gateway, "requests_total", b.address).await, 10);
        assert_eq!(metric(&gateway, "connect_failures_total", b.address).await, 0);
    }
}

#[tokio::test]
async fn a_slow_endpoint_gets_no_more_while_others_have_less_to_do() {
    for way in WAYS {
        let ((slow, told), quick) = (slow_at_first().await, Upstream::ok().await);
        let gateway = before(&[slow.address, quick.address], &[way]).await;
        let mut waiting = gateway.connect().await;
        waiting.send(GET).await;
        in_flight(&gateway, slow.address, 1).await;
        all_well(&gateway, GET, 10).await;
        assert_eq!(loads([&slow, &quick]), [1, 10]);
        told.notify_one();
        assert_eq!(waiting.answer().await.status, 200);
        in_flight(&gateway, slow.address, 0).await;
        told.notify_one();
        all_well(&gateway, GET, 2).await;
        assert_eq!(loads([&slow, &quick]), [2, 11]);
    }
}

#[tokio::test]
async fn nobody_notices_an_endpoint_that_is_dead_and_it_is_left_alone() {
    for (way, request) in WAYS.into_iter().flat_map(|way| [(way, GET), (way, POST)]) {
        let (dead, alive) = (Dead::new(), Upstream::ok().await);
        let gateway = before(&[dead.address(), alive.address], &[way, LONG_PAUSE]).await;
        all_well(&gateway, request, 20).await;
        assert_eq!(loads([&alive]), [20]);
        assert_eq!(metric(&gateway, "connect_failures_total", dead.address()).await, 1);
        assert_eq!(metric(&gateway, "requests_total", dead.address()).await, 0);
    }
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_used_again_after_its_pause() {
    for way in WAYS {
        let (dead, alive) = (Dead::new(), Upstream::ok().await);
        let pause = "gateway.upstreams.chat.connect_failure_pause=100ms";
        let gateway = before(&[dead.address(), alive.address], &[way, IN_TURN, pause]).await;
        all_well(&gateway, GET, 4).await;
        let back = dead.comes_back();
        let end = Instant::now() + PATIENCE;
        while back.saw().is_empty() {
            all_well(&gateway, GET, 1).await;
            assert!(Instant::now() < end, "it is never used again");
        }
        let before = loads([&back, &alive]);
        all_well(&gateway, GET, 10).await;
        let after = loads([&back, &alive]);
        assert_eq!([after[0] - before[0], after[1] - before[1]], [5, 5]);
    }
}

#[tokio::test]
async fn when_all_are_dead_each_is_tried_once_and_the_gateway_says_so() {
    for way in WAYS {
        let dead = [Dead::new(), Dead::new(), Dead::new()];
        let addresses = [0, 1, 2].map(|place: usize| dead[place].address());
        let gateway = before(&addresses, &[way, LONG_PAUSE]).await;
        for round in 1..=2 {
            let answer = gateway.get("/open/a").await;
            answer.is_problem("upstream-unreachable", 502);
            assert_eq!(answer.field("proxy-status"), Some("hubbub; error=destination_unavailable"));
            assert!(!answer.body.contains("127.0.0.1"), "{answer:?}");
            for address in addresses {
                assert_eq!(metric(&gateway, "connect_failures_total", address).await, round);
                in_flight(&gateway, address, 0).await;
            }
        }
        let [first, ..] = dead;
        let back = first.comes_back();
        all_well(&gateway, GET, 3).await;
        assert_eq!(loads([&back]), [3], "it is found though its rest is not over");
    }
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_costs_its_time_and_no_more() {
    const TIMEOUT: Duration = Duration::from_millis(400);
    let setting = "gateway.upstreams.chat.connect_timeout=400ms";
    let [one, two, three] = [Silent::new().await, Silent::new().await, Silent::new().await];
    for way in WAYS {
        let alive = Upstream::ok().await;
        let settings = [way, LONG_PAUSE, setting];
        let gateway = before(&[one.address(), alive.address], &settings).await;
        let began = Instant::now();
        all_well(&gateway, POST, 1).await;
        assert!(began.elapsed() >= TIMEOUT, "{:?}", began.elapsed());
        all_well(&gateway, POST, 10).await;
        assert_eq!(metric(&gateway, "connect_failures_total", one.address()).await, 1);

        let silent = [one.address(), two.address(), three.address()];
        let gateway = before(&silent, &settings).await;
        let began = Instant::now();
        gateway.get("/open/a").await.is_problem("upstream-unreachable", 502);
        let took = began.elapsed();
        assert!((TIMEOUT * 2..TIMEOUT * 2 + Duration::from_secs(2)).contains(&took), "{took:?}");
        assert_eq!(metric(&gateway, "connect_failures_total", two.address()).await, 1);
        assert_eq!(metric(&gateway, "connect_failures_total", three.address()).await, 0);
    }
}

/// Answers the first request of its first connection, and takes the second one with it.
async fn goes_with_the_second() -> Upstream {
    Upstream::start(async |mut peer| {
        if peer.request().await.is_some() {
            peer.caller.send(OK).await;
            peer.request().await;
        }
    })
    .await
}

#[tokio::test]
async fn what_may_be_sent_again_goes_to_another_endpoint_when_its_own_is_gone() {
    for way in WAYS {
        let (mut gone, alive) = (goes_with_the_second().await, Upstream::ok().await);
        let gateway = before(&[gone.address, alive.address], &[way, IN_TURN, LONG_PAUSE]).await;
        all_well(&gateway, GET, 2).await;
        gone.close().await;
        all_well(&gateway, GET, 1).await;
        assert_eq!(loads([&gone, &alive]), [2, 2], "the third request was sent to both");
        all_well(&gateway, GET, 5).await;
        assert_eq!(loads([&gone, &alive]), [2, 7]);
    }
}

#[tokio::test]
async fn what_may_have_been_acted_on_goes_to_no_other_endpoint() {
    for way in WAYS {
        let (mut gone, alive) = (goes_with_the_second().await, Upstream::ok().await);
        let gateway = before(&[gone.address, alive.address], &[way, IN_TURN]).await;
        all_well(&gateway, POST, 2).await;
        gone.close().await;
        gateway.ask(POST).await.is_problem("upstream-failed", 502);
        assert_eq!(loads([&gone, &alive]), [2, 1]);
        in_flight(&gateway, gone.address, 0).await;
    }
}

#[tokio::test]
async fn a_tunnel_is_in_flight_until_it_ends() {
    for way in WAYS {
        let switching = || {
            Upstream::start(async |mut peer| {
                while let Some(saw) = peer.request().await {
                    let is_socket = saw.field("upgrade").is_some();
                    peer.caller.send(if is_socket { switch() } else { OK.to_owned() }).await;
                }
            })
        };
        let (a, b) = (switching().await, switching().await);
        let gateway = before(&[a.address, b.address], &[way]).await;
        let mut caller = gateway.connect().await;
        caller.send(ask("")).await;
        assert!(caller.head().await.unwrap().starts_with("HTTP/1.1 101 "));
        all_well(&gateway, GET, 6).await;
        assert_eq!(loads([&a, &b]), [1, 6]);
        in_flight(&gateway, a.address, 1).await;
        drop(caller);
        in_flight(&gateway, a.address, 0).await;
        all_well(&gateway, GET, 6).await;
        assert_eq!(loads([&a, &b]), [4, 9]);
    }
}

#[tokio::test]
async fn a_tunnel_finds_an_endpoint_that_is_alive() {
    let dead = Dead::new();
    let alive = Upstream::start(async |mut peer| {
        peer.request().await;
        peer.caller.send(switch()).await;
        peer.request().await;
    })
    .await;
    let gateway = before(&[dead.address(), alive.address], &[LONG_PAUSE]).await;
    for _ in 0..3 {
        let mut caller = gateway.connect().await;
        caller.send(ask("")).await;
        assert!(caller.head().await.unwrap().starts_with("HTTP/1.1 101 "));
    }
    assert_eq!(metric(&gateway, "connect_failures_total", dead.address()).await, 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_in_flight() {
    for way in WAYS {
        let silent =
            Upstream::start(async |mut peer| while peer.request().await.is_some() {}).await;
        let endless = Upstream::start(async |mut peer| {
            peer.request().await;
            peer.caller.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await;
            let part = vec![b'x'; 65_536];
            while tokio::io::AsyncWriteExt::write_all(&mut peer.caller.stream, &part).await.is_ok()
            {
            }
        })
        .await;
        let gateway = before(&[silent.address, endless.address], &[way]).await;
        let mut waiting = gateway.connect().await;
        waiting.send(GET).await;
        in_flight(&gateway, silent.address, 1).await;
        let mut reading = gateway.connect().await;
        reading.send(GET).await;
        assert!(reading.more().await, "the answer has begun");
        in_flight(&gateway, endless.address, 1).await;
        drop((waiting, reading));
        in_flight(&gateway, silent.address, 0).await;
        in_flight(&gateway, endless.address, 0).await;
    }
}

#[tokio::test]
async fn a_caller_that_names_no_host_asks_the_endpoint() {
    let (dead, alive) = (Dead::new(), Upstream::ok().await);
    let gateway = before(&[dead.address(), alive.address], &[]).await;
    all_well(&gateway, "GET /open/a HTTP/1.0\r\n\r\n", 1).await;
    let host = alive.address.to_string();
    assert_eq!(alive.saw_one().field("host"), Some(host.as_str()));
}

#[tokio::test]
async fn the_log_names_the_endpoint_that_failed() {
    for way in WAYS {
        let broken = Upstream::answering("garbage\r\n\r\n").await;
        let gateway = before(&[broken.address], &[way]).await;
        gateway.get("/open/a").await.is_problem("upstream-failed", 502);
        let log = gateway.data.path().join("access.log");
        let named = format!("\"cause\":\"chat at {}: ", broken.address);
        let is_named = || std::fs::read_to_string(&log).unwrap_or_default().contains(&named);
        crate::support::until("the endpoint is in the log", is_named).await;
    }
}

#[tokio::test]
async fn an_upstream_is_healthy_while_one_of_its_endpoints_is() {
    let (dead, alive) = (Dead::new(), Upstream::ok().await);
    let gateway = before(&[dead.address(), alive.address], &["gateway.health.interval=50ms"]).await;
    let end = Instant::now() + PATIENCE;
    let chat = loop {
        let health = gateway.operator("/health").await.json();
        let chat = health["services"].as_array().unwrap().iter().find(|s| s["name"] == "chat");
        let chat = chat.unwrap().clone();
        let is_known = |place: usize| chat["endpoints"][place]["status"] != "unknown";
        if is_known(0) && is_known(1) {
            break chat;
        }
        assert!(Instant::now() < end, "{health}");
    };
    assert_eq!(chat["status"], "healthy", "{chat}");
    assert_eq!(chat["endpoints"][0]["status"], "unhealthy");
    assert!(chat["endpoints"][0]["error"].is_string());
    assert_eq!(chat["endpoints"][1]["status"], "healthy");
    assert_eq!(chat["instances"].as_array().unwrap().len(), 2);
    let public = gateway.get("/health").await.body;
    assert!(!public.contains("endpoints") && !public.contains("127.0.0.1"), "{public}");
    assert_eq!(metric(&gateway, "healthy", dead.address()).await, 0);
    assert_eq!(metric(&gateway, "healthy", alive.address).await, 1);
    // What a probe finds sends no request elsewhere: only a connection that fails does.
    assert_eq!(metric(&gateway, "connect_failures_total", dead.address()).await, 0);
    all_well(&gateway, GET, 1).await;
    assert_eq!(metric(&gateway, "connect_failures_total", dead.address()).await, 1);
}
