//! One spelling of a path for matching, authorising and forwarding.

use crate::case::{Case, case, get_of, want};

#[tokio::test]
async fn a_path_has_one_spelling_for_everybody() {
    crate::run::run(&[], cases).await;
}

/// Spellings of an open path: the target, and what the upstream gets.
const SAME: &[(&str, &str, &str)] = &[
    ("path-plain", "/open/a", "/a"),
    ("path-of-the-prefix", "/open", "/"),
    ("path-of-the-prefix-and-slash", "/open/", "/"),
    ("path-ends-in-slash", "/open/a/", "/a/"),
    ("path-of-double-slashes", "//open//a", "/a"),
    ("path-of-many-slashes", "/open/////a///b", "/a/b"),
    ("path-ends-in-slashes", "/open/a//", "/a/"),
    ("path-with-dot", "/open/./a", "/a"),
    ("path-begins-with-dot", "/./open/a", "/a"),
    ("path-ends-in-dot", "/open/a/.", "/a/"),
    ("path-with-dot-dot", "/open/b/../a", "/a"),
    ("path-ends-in-dot-dot", "/open/a/..", "/"),
    ("path-climbs-within", "/x/y/../../open/a", "/a"),
    ("path-climbs-over-double-slash", "/open/b//../a", "/a"),
    ("path-of-an-encoded-dot", "/open/%2e/a", "/a"),
    ("path-of-encoded-dots", "/open/b/%2e%2e/a", "/a"),
    ("path-of-encoded-dots-in-capitals", "/open/b/%2E%2E/a", "/a"),
    ("path-of-half-encoded-dots", "/open/b/.%2e/a", "/a"),
    ("path-of-half-encoded-dots-turned", "/open/b/%2e./a", "/a"),
    ("path-of-three-dots", "/open/...", "/..."),
    ("path-of-a-hidden-file", "/open/.hidden", "/.hidden"),
    ("path-with-a-final-dot", "/open/a.", "/a."),
    ("path-of-encoded-letters", "/%6fpe%6E/%61", "/a"),
    ("path-of-an-encoded-tilde", "/open/%7ea", "/~a"),
    ("path-of-encoded-marks", "/open/%2d%5f%2e%7e", "/-_.~"),
    ("path-of-small-hexadecimals", "/open/caf%c3%a9", "/caf%C3%A9"),
    ("path-of-an-encoded-space", "/open/a%20b", "/a%20b"),
    ("path-of-an-encoded-percent", "/open/100%25", "/100%25"),
    ("path-of-an-encoded-percent-and-letters", "/open/%2541", "/%2541"),
    ("path-of-an-encoded-question", "/open/a%3fb", "/a%3Fb"),
    ("path-of-an-encoded-hash", "/open/a%23b", "/a%23b"),
    ("path-of-an-encoded-semicolon", "/open/a%3bb", "/a%3Bb"),
    ("path-with-parameters", "/open/a;b=c", "/a;b=c"),
    ("path-with-parameters-on-the-way", "/open/a;b=c/d", "/a;b=c/d"),
    ("path-of-allowed-marks", "/open/!$&'()*+,;=:@", "/!$&'()*+,;=:@"),
    ("path-of-three-dots-and-semicolon", "/open/...;a", "/...;a"),
    ("path-is-case-sensitive-behind", "/open/A", "/A"),
    ("query-stays", "/open/a?b=%2F..%2f&c=//d/../e", "/a?b=%2F..%2f&c=//d/../e"),
    ("query-empty", "/open/a?", "/a?"),
    ("query-of-questions", "/open/a??b?c", "/a??b?c"),
    ("query-with-brackets", "/open/a?b[]=1", "/a?b[]=1"),
    ("query-with-encoded-line-end", "/open/a?b=%0d%0aX:%20y", "/a?b=%0d%0aX:%20y"),
    ("query-with-nul-encoded", "/open/a?b=%00", "/a?b=%00"),
    ("query-with-a-broken-percent", "/open/a?b=%zz", "/a?b=%zz"),
    ("query-behind-the-prefix", "/open?b", "/?b"),
    ("query-behind-a-climb", "/open/b/..?c=/../d", "/?c=/../d"),
];

/// Paths that could mean two things.
const REFUSED: &[(&str, &str)] = &[
    ("path-climbs-over-the-root", "/../open/a"),
    ("path-climbs-far", "/open/../../../etc/passwd"),
    ("path-climbs-encoded", "/open/%2e%2e/%2e%2e/etc"),
    ("path-climbs-half-encoded", "/.%2e/open/a"),
    ("path-climbs-over-slashes", "/open//..//..//../a"),
    ("path-of-an-encoded-slash", "/open/a%2fb"),
    ("path-of-an-encoded-slash-in-capitals", "/open/a%2Fb"),
    ("path-of-encoded-dots-and-slash", "/open/..%2fapi/messages"),
    ("path-of-all-encoded-climb", "/open/%2e%2e%2fapi%2fmessages"),
    ("path-of-an-encoded-backslash", "/open/a%5cb"),
    ("path-of-an-encoded-backslash-in-capitals", "/open/..%5Capi"),
    ("path-of-a-backslash", "/open/a\\b"),
    ("path-climbs-by-backslash", "/open/..\\api\\messages"),
    ("path-of-an-encoded-nul", "/open/a%00"),
    ("path-of-an-encoded-nul-before-a-suffix", "/open/a%00.html"),
    ("path-of-an-encoded-line-feed", "/open/a%0ab"),
    ("path-of-an-encoded-carriage-return", "/open/a%0d%0aX:y"),
    ("path-of-an-encoded-escape", "/open/%1b"),
    ("path-of-an-encoded-delete", "/open/%7f"),
    ("path-of-an-encoded-tab", "/open/%09"),
    ("path-of-a-broken-percent", "/open/%zz"),
    ("path-of-half-a-percent", "/open/%2"),
    ("path-of-a-bare-percent", "/open/%"),
    ("path-of-a-percent-before-slash", "/open/%/a"),
    ("path-of-a-wide-percent", "/open/%u002e"),
    ("path-of-twice-encoded-dots", "/open/%252e%252e/a"),
    ("path-of-twice-encoded-dots-in-capitals", "/open/%252E%252E/a"),
    ("path-of-a-twice-encoded-slash", "/open/a%252fb"),
    ("path-of-a-twice-encoded-backslash", "/open/a%255cb"),
    ("path-of-a-twice-encoded-nul", "/open/a%2500"),
    ("path-of-a-thrice-encoded-dot", "/open/%25252e"),
    ("path-of-a-dot-with-parameters", "/open/.;a/b"),
    ("path-of-dots-with-parameters", "/open/..;/api/messages"),
    ("path-of-dots-with-parameter-values", "/open/..;a=b/c"),
    ("path-of-encoded-dots-with-parameters", "/open/%2e%2e;/api/messages"),
    ("path-with-a-bracket", "/open/[a]"),
    ("path-with-a-brace", "/open/{a}"),
    ("path-with-a-bar", "/open/a|b"),
    ("path-with-a-caret", "/open/a^b"),
];

/// Spellings of a protected path, which nobody reaches without a token.
const PROTECTED: &[(&str, &str)] = &[
    ("protected-plainly", "/api/messages"),
    ("protected-by-slash", "/api/messages/"),
    ("protected-below", "/api/messages/1"),
    ("protected-by-climbing", "/open/../api/messages"),
    ("protected-by-climbing-far", "/open/a/b/../../../api/messages"),
    ("protected-by-encoded-climbing", "/open/%2e%2e/api/messages"),
    ("protected-by-encoded-capitals", "/open/%2E%2E/api/messages"),
    ("protected-by-half-encoded-climbing", "/open/.%2e/api/messages"),
    ("protected-by-double-slashes", "//api//messages"),
    ("protected-by-slashes-and-climbing", "/open//../api/messages"),
    ("protected-by-dot", "/api/./messages"),
    ("protected-by-encoded-dot", "/api/%2e/messages"),
    ("protected-by-encoded-letters", "/%61pi/%6dessages"),
    ("protected-by-final-dot-dot", "/api/messages/a/.."),
    ("protected-by-query", "/api/messages?x=/open/"),
    ("protected-by-climbing-out-of-a-socket", "/api/chat/ws/../rooms"),
    ("protected-by-encoded-climbing-out-of-a-socket", "/api/chat/ws/%2e%2e/rooms"),
];

/// Paths that are nobody's.
const NOWHERE: &[(&str, &str)] = &[
    ("nowhere-plainly", "/nothing"),
    ("nowhere-in-capitals", "/OPEN/a"),
    ("nowhere-beside-a-prefix", "/openly"),
    ("nowhere-with-parameters-in-the-prefix", "/open;x/a"),
    ("nowhere-by-an-encoded-semicolon", "/open%3bx/a"),
    ("nowhere-with-a-dot-behind-the-prefix", "/open./a"),
    ("nowhere-by-climbing", "/open/../nothing"),
    ("nowhere-behind-a-host", "/http://hub/open/a"),
    ("nowhere-in-the-operators-place", "/metrics"),
    ("nowhere-inside", "/internal/rings"),
];

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let same = SAME.iter().map(|(name, target, arrives)| {
        case(name, &[22, 23, 24], get_of(target)).forwards(want(&format!("GET {arrives}")))
    });
    let declined = |list: &'static [(&'static str, &'static str)], status| {
        list.iter()
            .map(move |(name, target)| case(name, &[22, 23], get_of(target)).declined(status))
    };
    same.chain(declined(REFUSED, 400))
        .chain(declined(PROTECTED, 401))
        .chain(declined(NOWHERE, 404))
        .collect()
}
