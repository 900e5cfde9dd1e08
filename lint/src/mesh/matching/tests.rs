use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::span::FileId;

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned { span: Span::new(FileId(0), 0, 0), value }
}

fn opt<T>(value: Option<T>) -> Opt<T> {
    Opt(value.map(spanned))
}

fn map<T>(pairs: Vec<(&str, T)>) -> Map<T> {
    Map(pairs.into_iter().map(|(key, value)| (spanned(key.to_owned()), spanned(value))).collect())
}

/// What a request and its client look like to the evaluator below.
#[derive(Debug, Clone)]
struct Request {
    place: &'static str,
    app: &'static str,
    namespace: &'static str,
    port: u32,
    path: &'static str,
    method: &'static str,
    headers: [Option<&'static str>; 2],
    query: Option<&'static str>,
}

fn meets_test(test: &StringMatch, text: &str, ignore_case: bool) -> bool {
    let fold = |text: &str| if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    if let Some(exact) = test.exact.get() {
        return fold(exact) == fold(text);
    }
    if let Some(prefix) = test.prefix.get() {
        return fold(text).starts_with(&fold(prefix));
    }
    match test.regex.get() {
        None => true,
        Some(regex) if regex == "*" => true,
        Some(regex) => regex::Regex::new(&format!(r"\A(?:{regex})\z")).unwrap().is_match(text),
    }
}

fn is_presence(test: &StringMatch) -> bool {
    test.exact.is_none() && test.prefix.is_none() && test.regex.get().is_none_or(|regex| regex == "*")
}

/// Istio's and Envoy's reading of a match block, written without a look at the code under test.
fn meets(block: &HttpMatch, request: &Request) -> bool {
    let source = if block.gateways.is_empty() {
        block.source_labels.iter().all(|(key, value)| key.value == "app" && value.value == request.app)
            && block.source_namespace.get().is_none_or(|ns| ns == request.namespace)
    } else {
        block.gateways.iter().any(|name| name.value == request.place)
    };
    let header = |name: &str| request.headers[usize::from(name.eq_ignore_ascii_case("b"))];
    source
        && block.port.get().is_none_or(|port| *port == request.port)
        && block
            .uri
            .get()
            .is_none_or(|uri| meets_test(uri, request.path, block.ignore_uri_case.get() == Some(&true)))
        && block.method.get().is_none_or(|method| meets_test(method, request.method, false))
        && block
            .headers
            .iter()
            .all(|(name, test)| header(name).is_some_and(|value| meets_test(test, value, false)))
        && block.without_headers.iter().all(|(name, test)| {
            if is_presence(test) {
                header(name).is_none()
            } else {
                !meets_test(test, header(name).unwrap_or(""), false)
            }
        })
        && block
            .query_params
            .iter()
            .all(|(_, test)| request.query.is_some_and(|value| meets_test(test, value, false)))
}

fn test(
    words: &'static [&'static str],
    regexes: &'static [&'static str],
) -> impl Strategy<Value = StringMatch> {
    let word = move || select(words).prop_map(|word| opt(Some(word.to_owned())));
    prop_oneof![
        3 => word().prop_map(|exact| StringMatch { exact, ..StringMatch::default() }),
        3 => word().prop_map(|prefix| StringMatch { prefix, ..StringMatch::default() }),
        3 => select(regexes).prop_map(|regex| StringMatch { regex: opt(Some(regex.to_owned())), ..StringMatch::default() }),
        1 => Just(StringMatch::default()),
    ]
}

fn value() -> impl Strategy<Value = StringMatch> {
    test(&["x", "xy", "y"], &["*", ".*", "x.*", "x|y", "x?", ".+", "^y$"])
}

/// At most one test per place, mostly none, so that coverage is common.
fn block() -> impl Strategy<Value = HttpMatch> {
    let maybe = |names: &'static [&'static str]| {
        proptest::option::weighted(0.3, (select(names), value()))
            .prop_map(|pair| map(pair.into_iter().collect::<Vec<_>>()))
    };
    let uri = test(&["/", "/a", "/A", "/a/b", "/1"], &[".*", "/a.*", "/a", "/a|/b", "(?i)/a", "/a/?b"]);
    (
        (proptest::option::weighted(0.6, uri), proptest::option::weighted(0.3, any::<bool>())),
        proptest::option::weighted(0.2, test(&["GET", "G"], &["GET|PUT"])),
        (maybe(&["a", "A", "b"]), maybe(&["a", "b"]), maybe(&["q"])),
        proptest::option::weighted(0.2, select(&[80u32, 81][..])),
        proptest::option::weighted(0.3, select(&["one", "two"][..])),
        proptest::option::weighted(0.2, select(&["ns1", "ns2"][..])),
        proptest::option::weighted(0.2, select(&["mesh", "ns/gw"][..])),
    )
        .prop_map(|((uri, folds), method, (headers, without, query), port, app, namespace, gateway)| {
            HttpMatch {
                uri: opt(uri),
                ignore_uri_case: opt(folds),
                method: opt(method),
                headers,
                without_headers: without,
                query_params: query,
                port: opt(port),
                source_labels: map(app.map(|app| ("app", app.to_owned())).into_iter().collect()),
                source_namespace: opt(namespace.map(str::to_owned)),
                gateways: List(gateway.map(|name| spanned(name.to_owned())).into_iter().collect()),
                ..HttpMatch::default()
            }
        })
}

fn request() -> impl Strategy<Value = Request> {
    let value = || proptest::option::of(select(&["", "x", "xy", "xx", "y", "z"][..]));
    (
        select(&["mesh", "ns/gw"][..]),
        select(&["one", "two"][..]),
        select(&["ns1", "ns2"][..]),
        select(&[80u32, 81][..]),
        select(&["/", "/a", "/A", "/ab", "/a/b", "/A/B", "/b", "/1"][..]),
        select(&["GET", "PUT", "GOT"][..]),
        (value(), value(), value()),
    )
        .prop_map(|(place, app, namespace, port, path, method, (a, b, query))| Request {
            place,
            app,
            namespace,
            port,
            path,
            method,
            headers: [a, b],
            query,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn whatever_meets_a_covered_block_meets_the_earlier_one(
        earlier in block(),
        later in block(),
        requests in proptest::collection::vec(request(), 40),
    ) {
        let gateways = List(vec![spanned("mesh".to_owned()), spanned("ns/gw".to_owned())]);
        let regexes = Regexes::default();
        let scope = Scope { namespace: "ns", gateways: &gateways, regexes: &regexes };
        if covers(&earlier, &later, scope) {
            for request in requests {
                prop_assert!(!meets(&later, &request) || meets(&earlier, &request), "{request:?}");
            }
        }
        if key(&earlier) == key(&later) {
            prop_assert!(covers(&earlier, &later, scope));
        }
        let again = HttpMatch { name: opt(Some("again".to_owned())), ..earlier.clone() };
        let covers_itself = covers(&earlier, &again, scope);
        prop_assert!(covers_itself);
        prop_assert_eq!(key(&earlier), key(&again));
    }
}
