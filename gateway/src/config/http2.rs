//! Bounds of connections that speak HTTP/2, towards callers and upstreams alike.

use std::time::Duration;

use serde::Deserialize;

/// `[gateway.http2]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http2 {
    /// Most streams that a caller may have open on a connection.
    pub streams_max: u32,
    /// Longest frame that is read, in bytes.
    pub frame_bytes_max: u32,
    /// Bytes of a body that may come before some of them went on.
    pub stream_window_bytes: u32,
    /// The same of all streams of a connection together; to an upstream at least what its streams may
    /// have.
    pub connection_window_bytes: u32,
    /// Most bytes that wait on a stream until its peer takes them.
    pub send_buffer_bytes_max: usize,
    /// Most streams that a caller may give up within `resets_window`.
    pub resets_max: usize,
    /// In which those are counted.
    #[serde(with = "chassis::config::span")]
    pub resets_window: Duration,
    /// How often a peer from which nothing comes is asked whether it is there.
    #[serde(with = "chassis::config::span")]
    pub ping_interval: Duration,
    /// How long it may take to say so.
    #[serde(with = "chassis::config::span")]
    pub ping_timeout: Duration,
}

/// Bounds of RFC 9113 section 6.5.2.
const FRAME_BYTES: std::ops::RangeInclusive<u32> = 16_384..=16_777_215;
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=2_147_483_647;

impl Http2 {
    /// Tells `fault` what the shape of a value does not show.
    pub(super) fn check(&self, fault: &mut impl FnMut(&str, bool, &str)) {
        fault("http2.streams_max", self.streams_max == 0, "expected at least 1");
        let message = "expected 16384 to 16777215 bytes";
        fault("http2.frame_bytes_max", !FRAME_BYTES.contains(&self.frame_bytes_max), message);
        let message = "expected 65535 to 2147483647 bytes";
        let (stream, connection) = (self.stream_window_bytes, self.connection_window_bytes);
        fault("http2.stream_window_bytes", !WINDOW_BYTES.contains(&stream), message);
        fault("http2.connection_window_bytes", !WINDOW_BYTES.contains(&connection), message);
        let buffer = self.send_buffer_bytes_max;
        fault("http2.send_buffer_bytes_max", buffer == 0, "expected at least 1");
        fault("http2.resets_max", self.resets_max == 0, "expected at least 1");
        let message = "expected more than nothing";
        fault("http2.resets_window", self.resets_window.is_zero(), message);
        fault("http2.ping_interval", self.ping_interval.is_zero(), message);
        fault("http2.ping_timeout", self.ping_timeout.is_zero(), message);
    }
}
