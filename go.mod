module wirefleet.dev/wire

go 1.26
