//! Finds the route for a path and a method, with the precedence of the Kubernetes Gateway API:
//! exact before prefix, the longest prefix first.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use http::HeaderValue;

use super::{Matcher, Method, Methods, Route, RouteId};
use crate::refusal::Refusal;

/// Routes by path. What is kept comes from the configuration, and strangers only look up: a hash that
/// is quick will do.
type Paths = HashMap<Box<str>, Vec<RouteId>, FixedState>;

/// Every route, by its path.
#[derive(Debug, Default)]
pub(crate) struct Table {
    routes: Vec<Route>,
    exact: Paths,
    prefixes: Paths,
    /// No longer prefix has to be looked for, however many elements a path has.
    longest_prefix: usize,
}

/// A route that takes a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub id: RouteId,
    pub route: &'a Route,
}

impl Table {
    /// The table of `routes`. Of two that take the same path and method the first wins.
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        let mut table = Self::default();
        for (index, route) in routes.iter().enumerate() {
            let (paths, path) = match &route.matcher {
                Matcher::Exact(path) => (&mut table.exact, path),
                Matcher::Prefix(path) => {
                    table.longest_prefix = table.longest_prefix.max(path.len());
                    (&mut table.prefixes, path)
                }
            };
            paths.entry(path.clone()).or_default().push(RouteId(index));
        }
        table.routes = routes;
        table
    }

    /// Every route, in the order of its number.
    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route for `path`, which is canonical. A route that does not take the method leaves the
    /// request to the next one.
    pub(crate) fn find(&self, path: &str, method: Method) -> Result<Found<'_>, Refusal> {
        let mut allowed = Methods::default();
        for id in self.candidates(path) {
            let Some(route) = self.routes.get(id.0) else { continue };
            if route.methods.has(method) {
                return Ok(Found { id, route });
            }
            allowed = allowed.and(route.methods);
        }
        if allowed == Methods::default() {
            return Err(Refusal::NoRoute);
        }
        match HeaderValue::try_from(allowed.list()) {
            Ok(allow) => Err(Refusal::Method { allow }),
            Err(_) => Err(Refusal::Internal("a list of methods is no field value")),
        }
    }

    /// Whoever takes `path`, the best first.
    fn candidates(&self, path: &str) -> impl Iterator<Item = RouteId> {
        let exact = self.exact.get(path).into_iter();
        let prefixes =
            elements(path, self.longest_prefix).filter_map(|prefix| self.prefixes.get(prefix));
        exact.chain(prefixes).flatten().copied()
    }
}

/// `path` and whatever of it ends before a slash, the longest first, none beyond `longest`.
fn elements(path: &str, longest: usize) -> impl Iterator<Item = &str> {
    let whole = (path.len() <= longest).then_some(path);
    // One byte more, so that a slash right after the longest prefix is seen.
    let head = path.get(..path.len().min(longest + 1)).unwrap_or(path);
    whole.into_iter().chain(head.rmatch_indices('/').map(|(at, _)| head.get(..at).unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use contract::Kind;

    use super::*;
    use crate::head::tests::both_ways;
    use crate::route::{Auth, Goal, Own, Path};

    fn route(name: &str, matcher: Matcher, methods: &[Method]) -> Route {
        let methods = match methods {
            [] => Methods::ALL,
            methods => methods.iter().fold(Methods::default(), |set, m| set.with(*m)),
        };
        Route {
            name: name.into(),
            matcher,
            methods,
            goal: Goal::Own(Own::Live),
            auth: Auth::None,
            quota: None,
            body_bytes_max: 0,
        }
    }

    fn table() -> Table {
        Table::new(vec![
            route("rest", Matcher::Prefix("/api".into()), &[]),
            route("messages", Matcher::Prefix("/api/messages".into()), &[Method::Get]),
            route("send", Matcher::Exact("/api/messages".into()), &[Method::Post]),
            route("login", Matcher::Exact("/login".into()), &[Method::Post]),
            route("files", Matcher::Prefix("/files".into()), &[Method::Get, Method::Head]),
        ])
    }

    #[test]
    fn exact_comes_before_prefix_and_longer_before_shorter() {
        let table = table();
        for (request, verdict) in [
            ("POST /api/messages", Ok("send")),
            ("GET /api/messages", Ok("messages")),
            ("GET /api/messages/7", Ok("messages")),
            ("PUT /api/messages/7", Ok("rest")),
            ("GET /api/messagesque", Ok("rest")),
            ("GET /api", Ok("rest")),
            ("GET /api/", Ok("rest")),
            ("GET /apis", Err(Kind::NotFound)),
            ("GET /", Err(Kind::NotFound)),
            ("POST /login", Ok("login")),
            ("POST /login/", Err(Kind::NotFound)),
            ("GET /login", Err(Kind::MethodNotAllowed)),
            ("PROPFIND /login", Err(Kind::MethodNotAllowed)),
            ("PROPFIND /api/x", Ok("rest")),
            ("get /files/x", Err(Kind::MethodNotAllowed)),
            ("GET /x/../files/./a", Ok("files")),
        ] {
            let head = format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n");
            let found = both_ways(&head, |head| {
                let path = Path::canonical(head.target).map_err(|refusal| refusal.kind())?;
                let found = table.find(&path.path, Method::of(head.method));
                found.map(|found| found.route.name.clone()).map_err(|refusal| refusal.kind())
            });
            assert_eq!(found.as_deref().map_err(|kind| *kind), verdict, "{request}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let Err(Refusal::Method { allow }) = table().find("/files/a", Method::Post) else {
            panic!("it is refused");
        };
        assert_eq!(allow, "GET, HEAD");
    }

    #[test]
    fn a_path_of_a_thousand_elements_is_looked_up_a_few_times() {
        let path = "/x".repeat(4000);
        assert!(elements(&path, 13).count() < 16);
    }
}
