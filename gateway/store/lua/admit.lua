-- Admission in one round trip: who is calling, may they now, and which instance do they mean. Times in milliseconds.
-- KEYS token, window, failures of the address, window over all tokens
-- ARGV clock (us or ''), instance name ('' none), limit of the class, setting that an account's own limit is called,
--      cap over all tokens (0 off), failures allowed
-- Returns {'unknown'} | {'guessing', for how long it stays so, latest change}
--          | {'limited'|'ok', limit, remaining, reset, kind, account, token's instance, instance id, instance version,
--             for how long a refusal stays so, latest change}
local now
if ARGV[1] ~= '' then now = math.floor(tonumber(ARGV[1]) / 1000)
else
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local SPAN = 60000

-- Drop what has left the span. `<`, not `<=`: stamps are cut to whole milliseconds, and no 60 s may ever hold more.
local function trim(key)
  local oldest = redis.call('LINDEX', key, 0)
  while oldest and tonumber(oldest) < now - SPAN do
    redis.call('LPOP', key)
    oldest = redis.call('LINDEX', key, 0)
  end
  return redis.call('LLEN', key), tonumber(oldest or now)
end

local function push(key)
  redis.call('RPUSH', key, string.format('%.0f', now))
  redis.call('PEXPIRE', key, SPAN + 1000)
end

-- When a slot has left the span.
local function frees(oldest) return oldest + SPAN + 1 end

-- The id of the audit log's last line: while it is the same, nobody has revoked, raised or suspended anything.
local function latest_change()
  local last = redis.call('XREVRANGE', 'pg:audit', '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or ''
end

local function unknown()
  local count, oldest = trim(KEYS[3])
  if count >= tonumber(ARGV[6]) then return {'guessing', frees(oldest) - now, latest_change()} end
  push(KEYS[3])
  return {'unknown'}
end

local tok = redis.call('HMGET', KEYS[1], 'kind', 'account', 'instance', 'expires', 'used')
if not tok[1] or (tok[4] and tonumber(tok[4]) <= now) then return unknown() end
local acc = redis.call('HMGET', 'pg:account:' .. tok[2], 'status', ARGV[4])
if acc[1] ~= 'active' then return unknown() end
if not tok[5] or tonumber(tok[5]) <= now - SPAN then redis.call('HSET', KEYS[1], 'used', string.format('%.0f', now)) end

local limit = tonumber(acc[2] or ARGV[3])
local count, oldest = trim(KEYS[2])
local verdict, free = 'ok', frees(oldest)
if count >= limit then
  -- The oldest stamp frees the slot, unless an operator has lowered the limit meanwhile.
  verdict, free = 'limited', frees(tonumber(redis.call('LINDEX', KEYS[2], count - limit)))
end
local cap = tonumber(ARGV[5])
if cap > 0 then
  local all, first = trim(KEYS[4])
  if all >= cap then
    free = math.max(verdict == 'limited' and free or 0, frees(first))
    verdict = 'limited'
  end
end
local remaining = 0
if verdict == 'ok' then
  push(KEYS[2])
  if cap > 0 then push(KEYS[4]) end
  remaining = limit - count - 1
end

local stays, change = 0, ''
if verdict == 'limited' then
  stays = math.min(free, tonumber(tok[4]) or free) - now
  change = latest_change()
end

local instance, version = '', ''
if ARGV[2] ~= '' then
  instance = redis.call('HGET', 'pg:account:' .. tok[2] .. ':instances', ARGV[2]) or ''
  if instance ~= '' then version = redis.call('HGET', 'pg:instance:' .. instance, 'version') or '' end
end
return {verdict, limit, remaining, math.ceil(free / 1000), tok[1], tok[2], tok[3] or '', instance, version, stays, change}
