-- A token's sliding log of the last 60 s, as the gateway keeps it.
-- KEYS window
-- ARGV limit
-- Returns {'ok'|'limited', limit, remaining, reset}
local t = redis.call('TIME')
local now, SPAN = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000), 60000
local limit = tonumber(ARGV[1])
local oldest = redis.call('LINDEX', KEYS[1], 0)
while oldest and tonumber(oldest) < now - SPAN do
  redis.call('LPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], 0)
end
local count = redis.call('LLEN', KEYS[1])
local reset = math.ceil((tonumber(oldest or now) + SPAN + 1) / 1000)
if count >= limit then return {'limited', limit, 0, reset} end
redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], SPAN + 1000)
return {'ok', limit, limit - count - 1, reset}
