-- needs: sliding_log
-- Admission. Times in milliseconds.

-- While it is the same, nobody has revoked, raised or suspended anything.
local function latest_change() return redis.call('GET', 'pg:changes') or '' end

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
-- cap: over all tokens (0 off); allowed: failures
-- Returns {'unknown'} | {'guessing', for how long it stays so, latest change}
--          | {'limited'|'ok', limit, remaining, reset, kind, account, token's instance, instance id, instance version,
--             for how long a refusal stays so, latest change}
local function admit(now, token, window, failures, all, name, most, setting, cap, allowed)
  local tok = redis.call('HMGET', token, 'kind', 'account', 'instance', 'expires', 'used')
  if not tok[1] or (tok[4] and tonumber(tok[4]) <= now) then return unknown(failures, allowed, now) end
  local acc = redis.call('HMGET', 'pg:account:' .. tok[2], 'status', setting)
  if acc[1] ~= 'active' then return unknown(failures, allowed, now) end
  if not tok[5] or tonumber(tok[5]) <= now - SPAN then redis.call('HSET', token, 'used', string.format('%.0f', now)) end

  local limit = tonumber(acc[2] or most)
  local count, oldest = trim(window, now)
  local verdict, free = 'ok', frees(oldest)
  if count >= limit then
    -- The oldest stamp frees the slot, unless an operator has lowered the limit meanwhile.
    verdict, free = 'limited', frees(tonumber(redis.call('LINDEX', window, count - limit)))
  end
  if cap > 0 then
    local count_of_all, first = trim(all, now)
    if count_of_all >= cap then
      free = math.max(verdict == 'limited' and free or 0, frees(first))
      verdict = 'limited'
    end
  end
  local remaining = 0
  if verdict == 'ok' then
    push(window, now)
    if cap > 0 then push(all, now) end
    remaining = limit - count - 1
  end

  local stays, change = 0, ''
  if verdict == 'limited' then
    stays = math.min(free, tonumber(tok[4]) or free) - now
    change = latest_change()
  end

  local instance, version = '', ''
  if name ~= '' then
    instance = redis.call('HGET', 'pg:account:' .. tok[2] .. ':instances', name) or ''
    if instance ~= '' then version = redis.call('HGET', 'pg:instance:' .. instance, 'version') or '' end
  end
  return {verdict, limit, remaining, math.ceil(free / 1000), tok[1], tok[2], tok[3] or '', instance, version, stays, change}
end
