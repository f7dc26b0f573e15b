#!lua flags=allow-oom
-- needs: record
-- Record what became of an upstream call, give the lease back, and arm what comes next.
-- KEYS record
-- ARGV clock (us or ''), owner, op, result (ok|failed|unknown), duration (-1 for a wake-up),
--      answered (how long ago), told (how long ago; -1: the telling before this one is still under way),
--      refresh, life, echo, retry (until the next pause; -1 gives up), a command's ticket (0 for a wake-up),
--      when a command was answered at the latest (0: a wake-up), why it ends (see promise), quiet (likewise),
--      history (ms for which it is kept what became of indicators; 0 keeps none), the call's outcome in a word
-- Returns {'settled'|'lost', ms that a delivered pause was late or -1}
local now_us = clock(ARGV[1])
local now, owner, op, result = math.floor(now_us / 1000), ARGV[2], ARGV[3], ARGV[4]
local duration, answered = tonumber(ARGV[5]), now - tonumber(ARGV[6])
local told, refresh, life = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local echo, retry = tonumber(ARGV[10]), tonumber(ARGV[11])
local why = ARGV[14]
quiet = tonumber(ARGV[15])
local history, ticket = tonumber(ARGV[16]), tonumber(ARGV[12])
local ENDS_AT_MOST = 200 -- of one instance; Redis drops whole nodes of the stream, so there may be a hundred more
local rec = load(KEYS[1])

-- For people to read: what showed has ended, and `by` what; or what was asked for came to nothing.
local function note(state, since, by, more)
  if history == 0 or state == '' then return end
  local ends = TAG .. 'ends:' .. INSTANCE
  redis.call('XADD', ends, 'MAXLEN', '~', ENDS_AT_MOST, '*',
    'chat', JID, 'state', state, 'since', since, 'by', by, 'told', more)
  -- By the clock that gave its id, which no test's clock moves.
  redis.call('XTRIM', ends, 'MINID', whole(math.floor(clock('') / 1000) - history))
  redis.call('PEXPIRE', ends, history)
end

-- With the end that was asked for (0: none was), the last telling, pauses that failed, and whether it surely showed.
local function note_end(by)
  local asked = rec.why == 'natural' and 0 or rec['until']
  note(rec.state, rec.since, by, whole(asked) .. ' ' .. whole(rec.sent) .. ' ' .. rec.tries .. ' ' .. rec.unsure)
end

-- We were stopped for longer than our lease, and our call reached the upstream among newer ones.
local function repair()
  if result == 'failed' then return end
  if op == 'paused' then
    -- It may have undone a newer indicator: show that again at once.
    if rec.state ~= '' then rec.sent = 0; arm(rec, now, now_us); save(rec) end
  elseif rec['until'] > 0 then
    rec.doubt = math.max(rec.doubt, now + echo) -- the pause that is owed anyway needs an echo
    save(rec)
  elseif rec.state == '' then
    rec.state, rec.since, rec.sent, rec.doubt = op, now, now, math.max(rec.doubt, now + echo)
    rec['until'] = now
    if rec.owner == '' then arm(rec, now, now_us) end
    save(rec)
  end
end

local function shown()
  if rec.state ~= op then note_end('replaced') end
  if rec.state ~= op or (rec['until'] > 0 and rec['until'] <= now) then rec.since = answered end
  rec.state, rec.tries, rec.why, rec.unsure = op, 0, why, 0
  -- The answer's age is too young where this request was held up on its way here (a process or a Redis that was
  -- stopped). Counted from the promise it is too late where that was. The answer came before either, within the lease.
  local answered_by = tonumber(ARGV[13])
  rec['until'] = duration > 0 and math.min(answered, answered_by) + duration or 0
  if told >= 0 then
    rec.sent = math.min(now - told, answered_by)
  elseif duration == 0 then
    -- Said when the telling under way has ended; a duration is told by its refreshes.
    arm(rec, math.max(rec.sent + refresh, now), now_us)
    return save(rec)
  end
  schedule(rec, now_us, refresh, life)
end

local function command(was_lost)
  if result == 'ok' and op == 'paused' then
    -- The record that did not know of it may have shown its indicator again meanwhile.
    if not was_lost or rec.state == '' then
      note_end(why == 'message' and why or 'pause')
      return close(rec, now_us)
    end
    rec['until'] = now
    return schedule(rec, now_us, refresh, life)
  end
  if result == 'ok' then return shown() end
  -- What was promised ahead of an admission that was refused is nobody's concern.
  if result == 'failed' and ARGV[17] ~= 'withdrawn' then note(op, whole(tonumber(ARGV[12]) / 1000), 'failed', ARGV[17]) end
  rec.unsure = 1
  if result == 'unknown' then
    -- Nobody knows whether it shows: pause at once, and once more when nothing late can come any more.
    if op ~= 'paused' then
      rec.state, rec.since, rec.doubt = op, now, math.max(rec.doubt, now + echo)
    end
    rec['until'], rec.sent = now, now
  end
  if why == 'message' then
    -- The message has come: nobody is told that this failed, so a wake-up goes on with it.
    rec['until'], rec.why = now, why
  end
  -- Rejected: the older indicator still shows and still owes its pause.
  schedule(rec, now_us, refresh, life)
end

local function wake_up()
  if op ~= 'paused' then
    if result == 'unknown' then rec.doubt = math.max(rec.doubt, now + echo) end
    rec.sent = result == 'ok' and now - told or now
    rec.unsure = result == 'ok' and 0 or 1
    schedule(rec, now_us, refresh, life)
    return -1
  end
  local late = answered - rec['until']
  if result == 'ok' then note_end(rec.why ~= '' and rec.why or 'time') end
  if result ~= 'ok' and retry < 0 then note(rec.state, rec.since, 'abandoned', ARGV[17]) end
  if result == 'ok' or retry < 0 then
    close(rec, now_us)
    return late
  end
  rec.tries = rec.tries + 1
  arm(rec, now + retry, now_us)
  save(rec)
  return -1
end

-- The record does not know of a promise that was made: it was lost (a failover, a log that was not synced), or what
-- is left of it is older, or its place in the line alone. No newer command was obeyed or is being told, so this one is
-- settled as if it held its lease; one that failed promised nothing. Unless it is so old that its record has simply
-- expired: `told` does not show that, since we may have been stopped after counting it.
local age = now - ticket / 1000
local changed = result ~= 'failed' or why == 'message'
local was_lost = rec.owner ~= owner and duration >= 0 and changed and rec.obeyed < ticket
  and not (rec.ends > 0 and rec.ticket > ticket) and told >= 0 and age < TOMBSTONE

if rec.owner ~= owner and not was_lost then
  repair()
  return {'lost', -1}
end
if was_lost then
  if rec.owner ~= '' then rec.doubt = math.max(rec.doubt, now + echo) end
  rec.ticket = math.max(rec.ticket, ticket)
end
if duration >= 0 and changed then rec.obeyed = ticket end
rec.owner, rec.op, rec.lease, rec.ends = '', '', 0, 0
if duration >= 0 then
  command(was_lost)
  return {'settled', -1}
end
return {'settled', wake_up()}
