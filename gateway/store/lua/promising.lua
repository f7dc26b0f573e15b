-- needs: record
-- Promising, shared by promise and enter.

-- Take the chat's lease and arm a provisional pause, before the upstream is told anything. Instants are microseconds.
-- ticket: 0 on arrival; negative: arrived so many us ago
-- Returns {'go', ticket, ms since something was shown or -1, now (ms)} | {'busy', ticket, ms until the lease ends}
--         | {'overtaken', ticket} | {'expired'} after the deadline
local function promise(now_us, owner, ticket, op, duration, lease, echo, trace, deadline_us)
  -- This request lay in the socket of a Redis that was stopped. Its gateway gave up on it, and its caller was told 503.
  if now_us > deadline_us then return {'expired'} end
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
end
