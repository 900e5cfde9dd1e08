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

/// The voting policy in Lua, doing what the module does: every `Cookie` line is read up to the same caps, the first
/// cookie of the name decides, one pair of quotes is removed, forged tags go in every spelling, the tag is replaced or
/// removed, and the route is chosen again. A test holds it to the same answers; the benchmark compares with it.
pub const VOTING_IN_LUA: &str = r#"
local function decide(headers)
  local bytes, count = 0, 0
  for line = 0, headers:getNumValues("cookie") - 1 do
    local text = headers:getAtIndex("cookie", line)
    local from = 1
    repeat
      local semicolon = string.find(text, ";", from, true)
      local last = (semicolon or #text + 1) - 1
      bytes = bytes + last - from + 2
      count = count + 1
      if bytes > 8193 or count > 100 then
        return false
      end
      local name, value = string.match(string.sub(text, from, last), "^ *([^=]+)=(.*)$")
      if name == "featureflag" then
        return (string.match(value, '^"(.*)"$') or value) == "on"
      end
      from = last + 2
    until not semicolon
  end
  return false
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove("x_canary")
  if decide(headers) then
    headers:replace("x-canary", "canary")
  else
    headers:remove("x-canary")
  end
  handle:clearRouteCache()
end
"#;
