-- needs: store/clock
-- One line in the audit log, in the same step as the change that it tells of.
--
-- Each account has a log of its own, and the operator has one, each bounded by itself: who changes much pushes out
-- nobody else's lines. What the operator does to an account stands in both.
local AUDIT, AUDITED, CHANGES = 'pg:{t}:audit', 'pg:{t}:audited', 'pg:{t}:changes'
local KEPT = 400 * 86400000 -- an account's log is forgotten so long after its last line (ms)

-- Number what was changed: while the number is the same, nobody has revoked, raised or suspended anything. By the
-- clock, so that none comes twice even after a failover that lost the last.
local function changed()
  local before = tonumber(redis.call('GET', CHANGES) or 0)
  local number = string.format('%.0f', math.max(before + 1, clock('')))
  redis.call('SET', CHANGES, number)
  return number
end

local function add_line(key, length, number, told, detail)
  redis.call('XADD', key, 'MAXLEN', '~', length, '*', 'actor', told[1], 'action', told[2],
    'subject', told[3], 'account', told[4], 'detail', detail, 'number', number)
end

-- `entry` is a JSON list {actor, action, subject, account, detail, detail for the operator alone, most lines of the
-- operator, most lines of an account}; none of them is ever a secret.
local function audit(entry)
  local told, now, number = cjson.decode(entry), clock_ms(''), changed()
  local actor, account = told[1], told[4]
  if actor ~= account then add_line(AUDIT, told[7], number, told, told[6] ~= '' and told[6] or told[5]) end
  if account ~= '' then
    local own = AUDIT .. ':' .. account
    add_line(own, told[8], number, told, told[5])
    redis.call('PEXPIRE', own, KEPT)
  end
  if actor == account then
    redis.call('ZADD', AUDITED, now, account)
    redis.call('ZREMRANGEBYSCORE', AUDITED, '-inf', now - KEPT)
  end
end
