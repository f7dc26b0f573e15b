-- needs: store/clock
-- An exact sliding log: a list of stamps (ms) in order, of which those of the last minute count. Shared by whatever counts.
local SPAN = 60000

-- A clock that was set back leaves stamps in what is now the future. They count as of now: nothing that was admitted is
-- forgotten, and nobody waits longer than a span for a slot.
local function heed_clock(key, now)
  local newest = redis.call('LINDEX', key, -1)
  if not newest or tonumber(newest) <= now then return end
  local ahead = 0
  repeat
    redis.call('RPOP', key)
    ahead, newest = ahead + 1, redis.call('LINDEX', key, -1)
  until not newest or tonumber(newest) <= now
  for _ = 1, ahead do redis.call('RPUSH', key, string.format('%.0f', now)) end
  redis.call('PEXPIRE', key, SPAN + 1000)
end

-- Drop what has left the span. `<`, not `<=`: stamps are cut to whole milliseconds, and no 60 s may ever hold more.
-- Returns how many count, and the oldest of them
local function trim(key, now)
  heed_clock(key, now)
  local oldest = redis.call('LINDEX', key, 0)
  while oldest and tonumber(oldest) < now - SPAN do
    redis.call('LPOP', key)
    oldest = redis.call('LINDEX', key, 0)
  end
  return redis.call('LLEN', key), tonumber(oldest or now)
end

-- As `trim`, without changing anything. Stamps are in order, so that the first one of the span is found in a few looks.
local function peek(key, now)
  local length = redis.call('LLEN', key)
  local low, high = 0, length
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(redis.call('LINDEX', key, middle)) < now - SPAN then low = middle + 1 else high = middle end
  end
  return length - low, math.min(now, tonumber(low < length and redis.call('LINDEX', key, low) or now))
end

local function push(key, now)
  redis.call('RPUSH', key, string.format('%.0f', now))
  redis.call('PEXPIRE', key, SPAN + 1000)
end

-- When a slot has left the span.
local function frees(oldest) return oldest + SPAN + 1 end
