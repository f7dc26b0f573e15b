-- needs: record, keeper
-- Claiming a chat for a wake-up, shared by claim and take.

-- Take the lease of the record that `KEY` names. Its wake-up stays in the queue and comes back when the lease ends, so
-- that whoever dies with it gives it back at that very moment; settling removes it.
-- Returns 'go', op, ms overdue | 'early', its time | 'busy', the lease's end | 'outdated'
local function claim(rec, gen, owner, now, lease, echo)
  if rec.gen ~= gen then return 'outdated' end
  if rec.owner ~= '' and rec.owner ~= owner then
    if rec.lease > now then return 'busy', rec.lease end
    take_over(rec, echo)
  end
  local at = tonumber(redis.call('ZSCORE', OWED, KEY) or 0)
  if at > now then return 'early', at end

  local op = rec.state
  if rec['until'] > 0 and rec['until'] <= now then op = 'paused' end
  if op == '' then return 'outdated' end
  rec.owner, rec.op, rec.lease = owner, op, now + lease
  save(rec)
  redis.call('ZADD', QUEUE, rec.lease, job_id(gen))
  return 'go', op, op == 'paused' and now - rec['until'] or 0
end
