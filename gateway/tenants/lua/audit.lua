-- needs: store/clock
-- One line in the operator's audit log, in the same step as the change that it tells of.
local AUDIT, AUDIT_LENGTH = 'pg:audit', 10000

-- `entry` is a JSON list {actor, action, subject, account, detail}; none of them is ever a secret.
local function audit(entry)
  local told = cjson.decode(entry)
  redis.call('XADD', AUDIT, 'MAXLEN', '~', AUDIT_LENGTH, '*', 'actor', told[1], 'action', told[2],
    'subject', told[3], 'account', told[4], 'detail', told[5])
end
