#!lua flags=allow-oom
-- needs: record
-- Arm again every record that is overdue although nobody works on it: it heals whatever way a queue lost its job.
-- KEYS '', owed, queue
-- ARGV clock (us or ''), overdue (ms), most records to look at
-- Returns how many were armed again
local now_us = clock(ARGV[1])
local now = math.floor(now_us / 1000)
local overdue = redis.call('ZRANGEBYSCORE', OWED, '-inf', whole(now - tonumber(ARGV[2])), 'WITHSCORES',
  'LIMIT', 0, tonumber(ARGV[3]))
local armed = 0

-- Queued and not started: a backlog, not a loss. Arming it anew would only send it to the back of the queue.
local function waits(id)
  return redis.call('ZSCORE', QUEUE, id) and redis.call('EXISTS', 'arq:job:' .. id) == 1
    and redis.call('EXISTS', 'arq:in-progress:' .. id) == 0
end

for i = 1, #overdue, 2 do
  KEY = overdue[i]
  local rec = load()
  if rec.gen == 0 then
    redis.call('ZREM', OWED, KEY)
    redis.call('ZREM', LATE, KEY)
  elseif rec.lease <= now and not waits(job_id(rec.gen)) then
    arm(rec, tonumber(overdue[i + 1]), now_us)
    save(rec)
    armed = armed + 1
  end
end
return armed
