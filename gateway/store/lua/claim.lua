-- A wake-up asks what to tell the upstream now, and takes the lease for it.
-- KEYS record, owed, queue, instance
-- ARGV clock (us or ''), owner, generation, lease, echo
-- Returns {'go', op, state, ms overdue, tries, trace, instance version} | {'early', ms} | {'busy'} | {'outdated'}
local now_us = clock(ARGV[1])
local now, owner, gen = math.floor(now_us / 1000), ARGV[2], tonumber(ARGV[3])
local lease, echo = tonumber(ARGV[4]), tonumber(ARGV[5])
local rec = load()

if rec.gen ~= gen then return {'outdated'} end
if rec.owner ~= '' and rec.owner ~= owner then
  if rec.lease > now then return {'busy'} end
  adopt(rec, echo)
end
local at = tonumber(redis.call('ZSCORE', OWED, KEY) or 0)
if at > now then return {'early', at - now} end

local op = rec.state
if rec['until'] > 0 and rec['until'] <= now then op = 'paused' end
if op == '' then return {'outdated'} end
rec.owner, rec.op, rec.lease = owner, op, now + lease
save(rec)
return {'go', op, rec.state, op == 'paused' and now - rec['until'] or 0, rec.tries, rec.trace,
  redis.call('HGET', KEYS[4], 'version') or ''}
