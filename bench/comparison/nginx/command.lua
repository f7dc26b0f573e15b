-- One command: JSON in, one call to Redis, one to the upstream, JSON out.
local cjson = require "cjson.safe"
local redis = require "nginx.redis"
local var = ngx.var

local function answer(status, body)
  local text = cjson.encode(body)
  ngx.status = status
  ngx.header["Content-Length"] = #text + 1
  ngx.say(text)
end

ngx.req.read_body()
local command = cjson.decode(ngx.req.get_body_data() or "")
if type(command) ~= "table" or not command.number or not command.state then
  return answer(400, {code = 400, error = "invalid body", success = false})
end
local instance = string.match(var.uri, "^/api/chat/presence/([%w_.-]+)$")
local token = ngx.encode_base64(ngx.hmac_sha1("pepper", var.http_token or ""))
local jid = command.number .. "@s.whatsapp.net"
local record = "pg:c:" .. instance .. ":" .. jid

local connection = redis:new()
connection:set_timeout(2000)
local ok, why = connection:connect(var.redis_socket)
if not ok then return answer(503, {code = 503, error = why, success = false}) end
local verdict, failed = connection:evalsha(var.command_sha, 4,
  "pg:token:" .. token, "pg:w:" .. token, record, "pg:queue",
  instance, jid, command.state, (command.duration or 0) * 1000)
connection:set_keepalive(3600000, 128)
if not verdict then return answer(503, {code = 503, error = failed, success = false}) end
if verdict[1] == "unknown" then return answer(401, {code = 401, error = "invalid token", success = false}) end
if verdict[1] == "limited" then return answer(429, {code = 429, error = "rate limit exceeded", success = false}) end

local told = ngx.location.capture("/upstream", {
  method = ngx.HTTP_POST,
  body = cjson.encode({Phone = command.number, State = "composing", Media = ""}),
})
local reply = cjson.decode(told.body)
if told.status ~= 200 or type(reply) ~= "table" then
  return answer(502, {code = 502, error = "upstream", success = false})
end
ngx.header["X-RateLimit-Limit"] = verdict[2]
ngx.header["X-RateLimit-Remaining"] = verdict[3]
ngx.header["X-RateLimit-Reset"] = verdict[4]
answer(200, {code = 200, success = true, data = {
  message = "Presence sent", chat_jid = jid, state = command.state, duration = command.duration or 0}})
