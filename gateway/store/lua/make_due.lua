#!lua flags=allow-oom
-- needs: record
-- Make every pause that an instance owes due now. A chat whose upstream is being called is left for the next look.
-- KEYS the instance's chats
-- ARGV clock (us or ''), echo, chats to pass over, most chats to look at
-- Returns how many chats were looked at
local now_us, echo = clock(ARGV[1]), tonumber(ARGV[2])
local now = math.floor(now_us / 1000)
local instance = string.match(KEYS[1], '^pg:{%d%d}:chats:(.+)$')
local owing = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[3] + ARGV[4] - 1)
for _, jid in ipairs(owing) do
  local rec = load(key_of(instance, jid))
  if not owes(rec) then
    forget()
  elseif rec.owner == '' or rec.lease <= now then
    if rec.owner ~= '' then take_over(rec, echo) end
    -- Without a state this is an echo, which must not come before its time.
    if rec.state ~= '' and rec['until'] > now then
      rec['until'] = now
      arm(rec, now, now_us)
    end
    save(rec)
  end
end
return #owing
