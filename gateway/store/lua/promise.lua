-- needs: record
-- Take the chat's lease and arm a provisional pause, before the upstream is told anything.
-- KEYS record
-- ARGV clock (us or ''), owner, ticket (0 on arrival; negative: arrived so many us ago), op, duration, lease, echo,
--      trace, deadline (us) after which nobody waits for the answer,
--      why ('natural': no end was asked for; 'message': a message was sent, which ends what shows; ''),
--      refresh, life, quiet (the account is made unavailable so long after its last indicator; 0 never),
--      1 for a caller who is not admitted yet: where anything but a plain promise is to be made, nothing is changed
-- Returns {'go', ticket, ms since something was shown or -1, now (ms), what shows}
--         | {'busy', ticket, ms until the lease ends} | {'overtaken', ticket} | {'expired'} after the deadline
--         | {'repeated', ticket}: it shows already, was sent just now, and ends as late as is asked
--         | {'nothing'} to end | {'unclear'} who has to be admitted first
local now_us, owner, ticket, op = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local duration, lease, echo, trace = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

-- This request lay in the socket of a Redis that was stopped. Its gateway gave up on it, and its caller was told 503.
if now_us > tonumber(ARGV[9]) then return {'expired'} end
local now, rec = math.floor(now_us / 1000), load(KEYS[1])
local why, refresh, life = ARGV[10], tonumber(ARGV[11]), tonumber(ARGV[12])

local ahead = ARGV[14] == '1'
if ahead and rec.owner ~= '' and rec.owner ~= owner then return {'unclear'} end

if why == 'message' and rec.state == '' and (rec.owner == '' or rec.op == 'paused') then return {'nothing'} end

if ticket < 0 then
  ticket = now_us + ticket
  if rec.ticket > ticket then return {'overtaken', '0'} end
  rec.ticket = ticket
end

if ticket == 0 then
  ticket = math.max(rec.ticket + 1, now_us)
  rec.ticket = ticket
elseif rec.ticket > ticket or (why ~= 'message' and now_us - ticket > TOMBSTONE * 1000) then
  -- A process that was stopped for longer than a closed record lives cannot know whether a newer command came. A
  -- message may be reported minutes later: it ends only what shows, and what shows has its record.
  return {'overtaken', whole(ticket)}
end

if rec.owner ~= '' and rec.owner ~= owner then
  if rec.lease > now then
    save(rec) -- its place in the line
    return {'busy', whole(ticket), rec.lease - now}
  end
  take_over(rec, echo)
end

-- The account is being made unavailable this very moment: what is shown before that is over would not be seen.
local resting = ARGV[13] ~= '0' and op ~= 'paused'
  and redis.call('PTTL', TAG .. 'q:' .. INSTANCE) or 0
if resting > 0 then
  if ahead then return {'unclear'} end
  save(rec)
  return {'busy', whole(ticket), resting}
end

-- It shows, and was sent so lately that its next refresh is soon enough: only its end moves. Never to an earlier one:
-- where this answer is lost, its caller is told 503, and what was promised before must not suffer from that.
if op == rec.state and rec.owner == '' and rec.unsure == 0 and rec.sent > 0 and now - rec.sent < refresh
  and rec['until'] > now and now + duration >= rec['until'] then
  if ahead then return {'unclear'} end
  rec['until'], rec.trace, rec.why, rec.obeyed = now + duration, trace, why, ticket
  schedule(rec, now_us, refresh, life)
  return {'repeated', whole(ticket)}
end

-- If we die on any later line of the command, this wake-up pauses the chat. It is never early: the upstream is told
-- within the lease, and the duration counts from its answer.
rec.owner, rec.op, rec.lease, rec.ends = owner, op, now + lease, now + duration
rec.trace = trace
arm(rec, now + lease + duration, now_us)
save(rec)
return {'go', whole(ticket), rec.sent > 0 and now - rec.sent or -1, now, rec.state}
