-- What wrk counted, as one line of JSON after its own report.
done = function(all)
    local e = all.errors
    local errors = e.connect + e.read + e.write + e.status + e.timeout
    print(string.format('{"requests": %d, "bytes": %d, "errors": %d}', all.requests, all.bytes, errors))
end
