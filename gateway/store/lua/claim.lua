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

-- What is left undone by whoever died with its lease is put right first; that outlives Redis.
local function take_over_from_dead(key)
  redis.set_repl(redis.REPL_ALL)
  local rec = load(key)
  -- A pause of which nobody heard what became has failed. Else it were on time with each worker that dies of it.
  if rec.op == 'paused' and rec.ends == 0 then rec.tries = rec.tries + 1 end
  take_over(rec, echo)
  save(rec)
  redis.set_repl(redis.REPL_NONE)
  return rec
end

-- Its wake-up comes back when the lease ends, so that whoever dies with it gives it back at that very moment.
local function claim(key)
  turn_to(key)
  -- A part of the record is enough: this is what refreshes and pauses go through.
  local stored = redis.call('HMGET', key, 'until', 'state', 'owner', 'lease', 'tries', 'trace', 'why', 'since')
  local ends, state, holder, tries = tonumber(stored[1] or 0), stored[2] or '', stored[3] or '', stored[5] or 0
  local is_again = holder == owner
  if holder ~= '' and not is_again then
    local held = tonumber(stored[4] or 0)
    if held > now then return held end
    local rec = take_over_from_dead(key)
    ends, state, tries = rec['until'], rec.state, rec.tries
  end
  local at = tonumber(redis.call('ZSCORE', CHATS, JID) or 0)
  if at > now and not is_again then return at end

  local op = state
  if ends > 0 and ends <= now then op = 'paused' end
  if op == '' or (ends == 0 and now >= tonumber(stored[8] or 0) + LINGER) then
    redis.set_repl(redis.REPL_ALL)
    forget()
    redis.call('PEXPIRE', KEY, TOMBSTONE, 'LT')
    redis.set_repl(redis.REPL_NONE)
    return 0
  end
  redis.call('HSET', key, 'owner', owner, 'op', op, 'lease', now + lease)
  wake_at(now + lease, now)
  return {op, state, op == 'paused' and now - ends or 0, tries, stored[6] or '', stored[7] or ''}
end

local claimed = {now}
for i = 5, #ARGV, 2 do claimed[#claimed + 1] = claim(key_of(ARGV[i], ARGV[i + 1])) end
return claimed
