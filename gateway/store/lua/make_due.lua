#!lua flags=allow-oom
-- needs: record
-- Make every pause that an instance owes due now. A chat whose upstream is being called is left for the next look.
-- KEYS '', owed, queue
-- ARGV clock (us or ''), instance, echo, chats to pass over, most chats to look at
-- Returns how many chats were looked at
local now_us = clock(ARGV[1])
local now, chats = math.floor(now_us / 1000), 'pg:chats:' .. ARGV[2]
local owing = redis.call('ZRANGEBYSCORE', chats, '+inf', '+inf', 'LIMIT', ARGV[4], ARGV[5])
for _, jid in ipairs(owing) do
  KEY = 'pg:c:' .. ARGV[2] .. ':' .. jid
  local rec = load()
  if rec.gen == 0 then
    redis.call('ZREM', chats, jid)
  elseif rec.owner == '' or rec.lease <= now then
    if rec.owner ~= '' then take_over(rec, tonumber(ARGV[3])) end
    -- Without a state this is an echo, which must not come before its time.
    if rec.state ~= '' and rec['until'] > now then
      rec['until'] = now
      arm(rec, now, now_us)
    end
    save(rec)
  end
end
return #owing
