-- What the chats of some instances show now.
-- ARGV most, instance, instance, ...
-- Returns a flat list of instance, chat, state, since, until (0 none)
local most, found = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  local chats = 'pg:chats:' .. ARGV[i]
  for _, jid in ipairs(redis.call('ZRANGE', chats, 0, -1)) do
    if #found >= most * 5 then return found end
    local told = redis.call('HMGET', 'pg:c:' .. ARGV[i] .. ':' .. jid, 'state', 'since', 'until')
    if told[1] then
      for _, value in ipairs({ARGV[i], jid, told[1], told[2] or '0', told[3] or '0'}) do found[#found + 1] = value end
    end
  end
end
return found
