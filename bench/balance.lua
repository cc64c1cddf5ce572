-- wrk's script: cycles through prebuilt signed requests, and prints what it counted as one line of JSON.
-- Its arguments are a file of lines "account<TAB>Sign", and the body that was signed.

local requests = {}
local count = 0
local place = 0

function init(args)
  for line in io.lines(args[1]) do
    local account, sign = line:match("^([^\t]+)\t(.+)$")
    count = count + 1
    requests[count] = wrk.format("POST", nil, {
      ["Content-Type"] = "application/json",
      ["Account"] = account,
      ["Sign"] = sign,
    }, args[2])
  end
end

function request()
  place = place % count + 1
  return requests[place]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"refused":%d,"failed":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
