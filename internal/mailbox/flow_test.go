package mailbox

import (
	"slices"
	"testing"
)

// TestHop is the whole way of a message, each event posted and written once.
func TestHop(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	api, web := w.box("api"), w.box("web")

	first := w.send("api", "web", "one")
	w.send("api", "web", "two")
	w.send("web", "api", "back")
	if res := w.push(api); len(res.Pushed) != 2 || res.Pushed[0].EventID != first || res.Pushed[0].Endpoint != w.relay.URL() || res.Pushed[0].Scope != "local" || len(res.Skipped) != 0 {
		t.Errorf("push: %+v", res)
	}
	w.push(web)
	if res := w.pull(web); len(res.Written) != 2 || res.Written[0] != (Written{first, "api"}) || res.TotalSeen != 2 || len(res.Rejected) != 0 {
		t.Errorf("pull: %+v", res)
	}
	w.pull(api)
	w.wantInbox("web", "api", "one", "two")
	w.wantInbox("api", "web", "back")

	for _, b := range []*Box{api, w.box("api")} {
		if res := w.push(b); res.Pushed != nil || res.Skipped != nil {
			t.Errorf("second push: %+v", res)
		}
	}
	for _, b := range []*Box{web, w.box("web")} {
		if res := w.pull(b); res.TotalSeen != 0 {
			t.Errorf("second pull: %+v", res)
		}
	}
	res, err := w.box("api").Push(t.Context(), PushOptions{Report: true})
	if err != nil || len(res.Pushed) != 0 || !slices.Equal(reasons(res.Skipped), []string{"duplicate", "duplicate"}) || res.Skipped[0].Endpoint != w.relay.URL() {
		t.Errorf("report: %+v, %v", res, err)
	}
}
