-- needs: sliding_log
-- Admission. Times in milliseconds.

-- What room a bucket has for one more, and when its next slot frees. What is left of `others`, nobody is told.
local function look(key, limit, now, others)
  local count, oldest = trim(key, now)
  -- The oldest stamp frees the slot, unless an operator has lowered the limit meanwhile.
  if count > limit then oldest = tonumber(redis.call('LINDEX', key, count - limit)) end
  return {key = key, left = limit - count, free = frees(oldest), others = others}
end

-- A stamp in every bucket, or in none where one of them has no room.
-- Returns 'ok'|'limited', how many more fit, when the next one fits
local function spend(buckets, now)
  local verdict, left, free = 'ok', math.huge, 0
  for _, bucket in ipairs(buckets) do
    if bucket.left <= 0 then verdict, free = 'limited', math.max(free, bucket.free) end
  end
  if verdict == 'limited' then return verdict, 0, free end
  for _, bucket in ipairs(buckets) do
    push(bucket.key, now)
    if not bucket.others then
      left = math.min(left, bucket.left - 1)
      if bucket.left == 1 then free = math.max(free, bucket.free) end
    end
  end
  return verdict, left, free > 0 and free or buckets[1].free
end

-- While it is the same, nobody has revoked, raised or suspended anything.
local function latest_change() return redis.call('GET', 'pg:{t}:changes') or '' end

-- Nobody's token; guessing them is limited by address.
local function unknown(failures, allowed, now)
  local count, oldest = trim(failures, now)
  if count >= allowed then return {'guessing', frees(oldest) - now, latest_change()} end
  push(failures, now)
  return {'unknown'}
end

-- Who is calling, may they now, and which instance do they mean.
-- token, window, failures of the address, window over all tokens: keys
-- name: of an instance ('' none); most: the class's limit; setting: what an account's own limit is called;
-- shared: over all tokens of one account (0 off); own: what an account's own such limit is called ('' none);
-- cap: over all tokens (0 off); allowed: failures
-- Returns {'unknown'} | {'guessing', for how long it stays so, latest change}
--          | {'limited'|'ok', limit, remaining, reset, kind, account, token's instance, instance id, instance version,
--             for how long a refusal stays so, latest change}
local function admit(now, token, window, failures, all, name, most, setting, shared, own, cap, allowed)
  local tok = redis.call('HMGET', token, 'kind', 'account', 'instance', 'expires', 'used')
  if not tok[1] or (tok[4] and tonumber(tok[4]) <= now) then return unknown(failures, allowed, now) end
  local acc = redis.call('HMGET', 'pg:{t}:account:' .. tok[2], 'status', setting, own)
  if acc[1] ~= 'active' then return unknown(failures, allowed, now) end
  if not tok[5] or tonumber(tok[5]) <= now - SPAN then redis.call('HSET', token, 'used', string.format('%.0f', now)) end

  local limit, of_account = tonumber(acc[2] or most), tonumber(acc[3] or shared)
  local buckets = {look(window, limit, now)}
  if of_account > 0 then buckets[#buckets + 1] = look('pg:{t}:w:account:' .. tok[2], of_account, now) end
  if cap > 0 then buckets[#buckets + 1] = look(all, cap, now, true) end
  local verdict, remaining, free = spend(buckets, now)

  local stays, change = 0, ''
  if verdict == 'limited' then
    stays = math.min(free, tonumber(tok[4]) or free) - now
    change = latest_change()
  end

  local instance, version = '', ''
  if name ~= '' then
    instance = redis.call('HGET', 'pg:{t}:account:' .. tok[2] .. ':instances', name) or ''
    if instance ~= '' then version = redis.call('HGET', 'pg:{t}:instance:' .. instance, 'version') or '' end
  end
  return {verdict, limit, remaining, math.ceil(free / 1000), tok[1], tok[2], tok[3] or '', instance, version, stays, change}
end
