-- All that one command needs of Redis in one step: the token, the sliding log, and a pause scheduled for arq.
-- KEYS token, window, record, queue
-- ARGV instance, jid, state, duration (ms)
-- Returns {'unknown'} | {'ok'|'limited', limit, remaining, reset}
local t = redis.call('TIME')
local now_us = tonumber(t[1]) * 1000000 + tonumber(t[2])
local now, SPAN = math.floor(now_us / 1000), 60000

local token = redis.call('HMGET', KEYS[1], 'instance', 'limit')
if token[1] ~= ARGV[1] then return {'unknown'} end

local limit = tonumber(token[2])
local oldest = redis.call('LINDEX', KEYS[2], 0)
while oldest and tonumber(oldest) < now - SPAN do
  redis.call('LPOP', KEYS[2])
  oldest = redis.call('LINDEX', KEYS[2], 0)
end
local count = redis.call('LLEN', KEYS[2])
local reset = math.ceil((tonumber(oldest or now) + SPAN + 1) / 1000)
if count >= limit then return {'limited', limit, 0, reset} end
redis.call('RPUSH', KEYS[2], string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[2], SPAN + 1000)

local former = redis.call('HGET', KEYS[3], 'gen')
if former then
  redis.call('ZREM', KEYS[4], ARGV[1] .. ':' .. ARGV[2] .. ':' .. former)
  redis.call('DEL', 'arq:job:' .. ARGV[1] .. ':' .. ARGV[2] .. ':' .. former)
end
local gen, at = string.format('%.0f', now_us), string.format('%.0f', now + tonumber(ARGV[4]))
local id = ARGV[1] .. ':' .. ARGV[2] .. ':' .. gen
redis.call('HSET', KEYS[3], 'gen', gen, 'state', ARGV[3], 'since', string.format('%.0f', now), 'until', at)
local job = cjson.encode({t = 1, f = 'wake', a = {ARGV[1], ARGV[2], gen}, k = cjson.decode('{}'), et = 0})
redis.call('SET', 'arq:job:' .. id, job, 'PX', tonumber(ARGV[4]) + 86400000)
redis.call('ZADD', KEYS[4], at, id)
return {'ok', limit, limit - count - 1, reset}
