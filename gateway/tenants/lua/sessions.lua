-- Who uses a session at an upstream: `pg:{t}:session:<its key>` holds the id of an instance's chats -> its account. What has
-- moved, or is being deleted, uses its session until its last pause is delivered there (`purge`).

local function uses(chats, session)
  local instance = string.match(chats, '^[^~]+')
  return redis.call('HGET', 'pg:{t}:former:' .. chats, 'uses') == session
    or redis.call('HGET', 'pg:{t}:instance:' .. instance, 'uses') == session
end

local function is_taken(session, account)
  if session == '' then return false end
  local users = redis.call('HGETALL', 'pg:{t}:session:' .. session)
  for i = 1, #users, 2 do
    if users[i + 1] ~= account then
      if uses(users[i], session) then return true end
      redis.call('HDEL', 'pg:{t}:session:' .. session, users[i]) -- an older version's worker buried it without this
    end
  end
  return false
end

local function hold(session, chats, account)
  if session ~= '' then redis.call('HSET', 'pg:{t}:session:' .. session, chats, account) end
end

local function let_go(session, chats)
  if session and session ~= '' then redis.call('HDEL', 'pg:{t}:session:' .. session, chats) end
end

-- Under what an instance keeps its chats (`model.Instance.chats_id`).
local function chats_of(instance, moves)
  return moves and moves ~= '0' and instance .. '~' .. moves or instance
end
