-- The version of who keeps chats under this id: where an instance was before it moved, or the instance; '' neither.
local function keeper(chats)
  local former = redis.call('HGET', 'pg:former:' .. chats, 'version')
  if former then return former end
  local instance, moves = string.match(chats, '^([^~]+)~?(%d*)$')
  local told = redis.call('HMGET', 'pg:instance:' .. instance, 'version', 'moves')
  return (told[2] or '') == moves and told[1] or ''
end

-- Whose these chats are; '' where nobody keeps them any more.
local function account_of(chats)
  return redis.call('HGET', 'pg:former:' .. chats, 'account')
    or redis.call('HGET', 'pg:instance:' .. string.match(chats, '^([^~]*)'), 'account') or ''
end
