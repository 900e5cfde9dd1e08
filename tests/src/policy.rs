//! The `pluginConfig`s that several tests, the benchmark and the demo share.

use serde_json::{Value, json};

/// The tag header of all of them.
pub const TAG: &str = "x-canary";
/// The tag's value for the canary, and the variant's name.
pub const CANARY: &str = "canary";

/// The voting application: whoever has the cookie `featureflag=on` is in the canary.
pub fn voting() -> Value {
    json!({ "flags": [{ "name": "voting", "header": TAG, "optIn": voting_cookie() }] })
}

/// The opt-in of the voting application, for policies that have more.
pub fn voting_cookie() -> Value {
    json!({ "cookie": { "name": "featureflag", "value": "on" } })
}

/// A sticky rollout of this many percent, by the subject in `x-user-id`.
pub fn rollout(flag: &str, percent: f64) -> Value {
    json!({
        "subject": [{ "header": "x-user-id" }],
        "flags": [{ "name": flag, "header": TAG, "rollout": { CANARY: percent } }],
    })
}

/// The voting policy in Lua, as exact as the module: every `Cookie` line is read, the first cookie of the name
/// decides, one pair of quotes is removed, the tag is replaced or removed, and the route is chosen again. A test
/// holds it to the same decisions; the benchmark compares with it. It has no caps, metrics, or protection of aliases.
pub const VOTING_IN_LUA: &str = r#"
local function decide(headers)
  for line = 0, headers:getNumValues("cookie") - 1 do
    for pair in string.gmatch(headers:getAtIndex("cookie", line), "[^;]+") do
      local name, value = string.match(pair, "^ *([^=]+)=(.*)$")
      if name == "featureflag" then
        return (string.match(value, '^"(.*)"$') or value) == "on"
      end
    end
  end
  return false
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if decide(headers) then
    headers:replace("x-canary", "canary")
  else
    headers:remove("x-canary")
  end
  handle:clearRouteCache()
end
"#;
