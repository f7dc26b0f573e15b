#!lua flags=allow-oom
-- needs: record
-- A gateway says again what it was granted and Redis may have lost: after a failover, or a restart without a log.
-- KEYS record
-- ARGV clock (us or ''), ticket, op, left (ms until the pause; '' no end), refresh, life, echo, quiet
-- Returns 1 where it was lost, 0 where the record knows of it, or of something newer
local now_us = clock(ARGV[1])
local now, ticket, op = math.floor(now_us / 1000), tonumber(ARGV[2]), ARGV[3]
local refresh, life, echo = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
quiet = tonumber(ARGV[8])
local rec = load(KEYS[1])
if rec.obeyed >= ticket then return 0 end

-- Whoever works on this chat works on what is older than us; what they tell it may still take effect.
if rec.owner ~= '' then rec.doubt = math.max(rec.doubt, now + echo) end
local showed = rec.state
rec.owner, rec.op, rec.lease, rec.ends, rec.tries = '', '', 0, 0, 0
rec.ticket, rec.obeyed = math.max(rec.ticket, ticket), ticket
if op == 'paused' then
  -- An older record may have shown its indicator again meanwhile.
  if showed ~= '' then rec['until'] = now else return close(rec, now_us) or 1 end
else
  rec.state, rec.since, rec.sent = op, now, now - refresh
  rec['until'] = ARGV[4] == '' and 0 or math.max(now + tonumber(ARGV[4]), now)
end
schedule(rec, now_us, refresh, life)
return 1
