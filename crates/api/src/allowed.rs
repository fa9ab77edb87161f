//! Lists of what a kind of caller may ask: methods and the ends of routes. Routes, not paths:
//! nothing that a caller writes into a path can make it look like another endpoint.

/// Ends of routes by method; names of parameters are left out (`/rooms/{}/state`).
pub(crate) type Allowed = [(&'static str, &'static [&'static str])];

/// Whether the list has this method and route.
pub(crate) fn lists(allowed: &Allowed, method: &str, route: &str) -> bool {
    let route = without_names(route);
    let mut ends = allowed.iter().filter(|(of, _)| *of == method).flat_map(|(_, ends)| *ends);
    ends.any(|end| route.ends_with(end))
}

/// `/rooms/{room_id}/state` as `/rooms/{}/state`.
pub(crate) fn without_names(route: &str) -> String {
    let mut out = String::with_capacity(route.len());
    let mut in_name = false;
    for letter in route.chars() {
        match letter {
            '{' => in_name = true,
            '}' => in_name = false,
            _ if in_name => continue,
            _ => {}
        }
        out.push(letter);
    }
    out
}
