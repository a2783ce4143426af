# Everything here is a plain go command; make only remembers them.
# CGO_ENABLED=0: the race detector aside, nothing needs a C compiler, and daemons without cgo are smaller.
export CGO_ENABLED = 0

GOFUMPT     = mvdan.cc/gofumpt@v0.12.0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS   = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
FUZZTIME   ?= 20s

.PHONY: build test race lint generate bench fuzz cross ci clean

build:
	go build -o bin/wire ./cmd/wire

test:
	go test ./...

# The scripts and end-to-end tests, too: the binary that they run is then built with the detector.
race:
	CGO_ENABLED=1 go test -race ./...

lint:
	@unformatted=$$(go run $(GOFUMPT) -l .) && [ -z "$$unformatted" ] || { echo "not gofumpt clean:"; echo "$$unformatted"; exit 1; }
	go mod tidy -diff
	go vet ./...
	go run $(STATICCHECK) ./...

# schema.json, from the types of wire.yaml.
generate:
	go generate ./...

bench:
	go test -run '^$$' -bench . ./...

# Each fuzz target for FUZZTIME, one after the other.
fuzz:
	@go list -f '{{.ImportPath}}' ./... | while read -r package; do \
		for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz'); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" || exit 1; \
		done; \
	done

cross:
	@for platform in $(PLATFORMS); do \
		echo "== $$platform"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} go build -o /dev/null ./cmd/wire || exit 1; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} go vet ./... || exit 1; \
	done

ci:
	.ci/run

clean:
	rm -rf bin
