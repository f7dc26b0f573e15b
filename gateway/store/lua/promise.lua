-- needs: record
-- Take the chat's lease and arm a provisional pause, before the upstream is told anything.
-- KEYS record, owed, queue
-- ARGV clock (us or ''), owner, ticket (0 on arrival; negative: arrived so many us ago), op, duration, lease, echo,
--      trace, deadline (us) after which nobody waits for the answer
-- Returns {'go', ticket, ms since something was shown or -1, now (ms)} | {'busy', ticket, ms until the lease ends}
--         | {'overtaken', ticket} | {'expired'} after the deadline
local now_us, owner, ticket, op = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local duration, lease, echo, trace = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

-- This request lay in the socket of a Redis that was stopped. Its gateway gave up on it, and its caller was told 503.
if now_us > tonumber(ARGV[9]) then return {'expired'} end
local now, rec = math.floor(now_us / 1000), load()

if ticket < 0 then
  ticket = now_us + ticket
  if rec.ticket > ticket then return {'overtaken', '0'} end
  rec.ticket = ticket
end

if ticket == 0 then
  ticket = math.max(rec.ticket + 1, now_us)
  rec.ticket = ticket
elseif rec.ticket > ticket or now_us - ticket > TOMBSTONE * 1000 then
  -- A process that was stopped for longer than a closed record lives cannot know whether a newer command came.
  return {'overtaken', whole(ticket)}
end

if rec.owner ~= '' and rec.owner ~= owner then
  if rec.lease > now then
    save(rec) -- its place in the line
    return {'busy', whole(ticket), rec.lease - now}
  end
  adopt(rec, echo)
end

-- If we die on any later line of the command, this wake-up pauses the chat. It is never early: the upstream is told
-- within the lease, and the duration counts from its answer.
rec.owner, rec.op, rec.lease, rec.ends = owner, op, now + lease, now + duration
rec.trace = trace
arm(rec, now + lease + duration, now_us)
save(rec)
return {'go', whole(ticket), rec.sent > 0 and now - rec.sent or -1, now}
