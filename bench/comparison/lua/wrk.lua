-- wrk's requests: every one a chat of its own, callers in turn. Arguments: a file of "path token" lines, the first chat.
local callers, said, chat = {}, 0, 0
local BODY = '{"number":"55119%08d","state":"typing","duration":60}'
local LENGTH = #string.format(BODY, 0)

function init(args)
  for line in io.lines(args[1]) do
    local path, token = string.match(line, "^(%S+) (%S+)$")
    callers[#callers + 1] = "POST " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\ntoken: " .. token ..
      "\r\nContent-Type: application/json\r\nContent-Length: " .. LENGTH .. "\r\n\r\n"
  end
  chat = tonumber(args[2])
end

function request()
  said, chat = said + 1, (chat + 1) % 100000000
  return callers[said % #callers + 1] .. string.format(BODY, chat)
end

-- One line for the harness: what wrk counted, then latencies in microseconds.
function done(summary, latency)
  local failed = summary.errors
  io.write(string.format("counted %d %d %d %d\n", summary.requests, summary.duration, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout))
  for _, share in ipairs({1, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100}) do
    io.write(string.format("at %g %d\n", share, share == 100 and latency.max or latency:percentile(share)))
  end
end
