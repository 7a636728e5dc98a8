//! What may be said of upstreams of HTTP/2, and what is told of them.

use chassis::config::{Layers, Settings as _};
use gateway::Config;

use crate::h2c::Up;
use crate::support::gateway;

#[tokio::test]
async fn an_upstream_that_is_not_asked_stands_in_no_health() {
    let up = Up::echo().await;
    let gateway = gateway(up.address, &[]).await;
    let health = gateway.get("/health").await.json();
    let names: Vec<_> = health["services"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["chat", "message", "user"]);
    let metrics = gateway.operator("/metrics").await.body;
    assert!(!metrics.contains("gateway_upstream_healthy{upstream=\"user-grpc\"}"), "{metrics}");
}

#[test]
fn a_socket_to_an_upstream_of_http_2_is_a_fault() {
    let read = |settings: &[&str]| {
        let mut layers = Layers::defaults();
        for setting in settings {
            layers.command_line(setting);
        }
        Config::read(&layers).map_or_else(|faults| faults.to_string(), |_| String::new())
    };
    let text = read(&["gateway.upstreams.chat.protocol=h2c"]);
    assert!(text.contains("gateway.routes.socket.websocket"), "{text}");
    for key in ["http2.streams_max", "http2.resets_max", "http2.send_buffer_bytes_max"] {
        assert!(read(&[&format!("gateway.{key}=0")]).contains(key), "{key}");
    }
    assert!(read(&["gateway.http2.frame_bytes_max=16383"]).contains("frame_bytes_max"));
    assert!(read(&["gateway.upstreams.user.protocol=h3"]).contains("protocol"));
    assert!(read(&["gateway.upstreams.user.h2c_streams_max=0"]).contains("h2c_streams_max"));
}
