#!lua flags=allow-oom
-- needs: record
-- Claim chats of a partition that wake up now: take the lease of each, and say what its upstream is to be told.
-- KEYS queue
-- ARGV clock (us or ''), owner, lease, echo, instance, chat, instance, chat, ...
-- Returns now (ms), and for each chat {op, state, ms overdue, tries, trace, why}, or when it wakes up (ms; 0: not at all)
local now_us, owner = clock(ARGV[1]), ARGV[2]
local now, lease, echo = math.floor(now_us / 1000), tonumber(ARGV[3]), tonumber(ARGV[4])

-- A lease need not outlive Redis: a worker that finds it lost when it settles repairs the record, as after any lost
-- lease. So it is neither logged nor replicated. What it puts off is at most forgotten, and comes sooner for that.
redis.set_repl(redis.REPL_NONE)

-- Its wake-up comes back when the lease ends, so that whoever dies with it gives it back at that very moment.
local function claim(rec)
  if rec.owner ~= '' and rec.owner ~= owner then
    if rec.lease > now then return rec.lease end
    redis.set_repl(redis.REPL_ALL)
    -- A pause of which nobody heard what became has failed. Else it were on time with each worker that dies of it.
    if rec.op == 'paused' and rec.ends == 0 then rec.tries = rec.tries + 1 end
    take_over(rec, echo)
    save(rec)
    redis.set_repl(redis.REPL_NONE)
  end
  local at = tonumber(redis.call('ZSCORE', CHATS, JID) or 0)
  if at > now and rec.owner ~= owner then return at end

  local op = rec.state
  if rec['until'] > 0 and rec['until'] <= now then op = 'paused' end
  if op == '' or (rec['until'] == 0 and now >= rec.since + LINGER) then
    redis.set_repl(redis.REPL_ALL)
    forget()
    redis.call('PEXPIRE', KEY, TOMBSTONE, 'LT')
    redis.set_repl(redis.REPL_NONE)
    return 0
  end
  rec.owner, rec.op, rec.lease = owner, op, now + lease
  save(rec)
  wake_at(rec.lease)
  return {op, rec.state, op == 'paused' and now - rec['until'] or 0, rec.tries, rec.trace, rec.why}
end

local claimed = {now}
for i = 5, #ARGV, 2 do claimed[#claimed + 1] = claim(load_of(ARGV[i], ARGV[i + 1])) end
return claimed
