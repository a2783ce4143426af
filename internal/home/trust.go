package home

import (
	"context"

	"wirefleet.dev/wire/internal/canon"
)

// emptyTrust is what a missing trust.json reads as, in the layout it is written in.
const emptyTrust = "{\n  \"agents\": {},\n  \"version\": 1\n}"

func (s Session) trust() document[*canon.Spans] {
	return document[*canon.Spans]{s.TrustFile(), emptyTrust, func(data []byte) (*canon.Spans, error) {
		spans, err := canon.ReadSpans(data, "agents")
		if err != nil {
			return nil, err
		}
		return spans, checkNest(spans, "agents")
	}}
}

// ReadTrust is trust.json as spans with "agents" nested; missing reads as the empty document.
func (s Session) ReadTrust() (*canon.Spans, error) {
	spans, _, err := s.trust().read()
	return spans, err
}

// ReadTrustDoc is trust.json as a tree, for verification.
func (s Session) ReadTrustDoc() (canon.Doc, error) {
	doc, _, err := document[canon.Doc]{s.TrustFile(), emptyTrust, canon.ParseObject}.read()
	return doc, err
}

// UpdateTrust locks CFG/relay.lock (10 s), re-reads, changes and replaces trust.json, unless change left it
// as it was or returned an error. As with UpdateRelay, change may be called more than once.
func (s Session) UpdateTrust(ctx context.Context, change func(*canon.Spans) error) error {
	return update(ctx, s.relayLock(), s.trust(), func(spans *canon.Spans) ([]byte, error) {
		if err := change(spans); err != nil || !spans.Changed() {
			return nil, err
		}
		return spans.Bytes(), nil
	})
}
