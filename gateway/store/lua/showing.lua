-- What the chats of some instances show now.
-- ARGV most, instance, instance, ...
-- Returns a flat list of instance, chat, state, since, until (0 none)
local most, found = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  local chats = 'pg:chats:' .. ARGV[i]
  -- Twice as many as are wanted: some of them owe only an echo, and show nothing.
  for _, jid in ipairs(redis.call('ZREVRANGE', chats, 0, most * 2)) do
    if #found >= most * 5 then return found end
    local told = redis.call('HMGET', 'pg:c:' .. ARGV[i] .. ':' .. jid, 'state', 'since', 'until', 'why')
    if told[1] then
      -- A natural end is none that was asked for.
      local ends = told[4] ~= 'natural' and told[3] or '0'
      for _, value in ipairs({ARGV[i], jid, told[1], told[2] or '0', ends}) do found[#found + 1] = value end
    end
  end
end
return found
