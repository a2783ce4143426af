package actuators

import (
	"context"
	"fmt"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/reconcile"
)

// registerDir points a session's directory at it in the registry, and drops its entries for paths that are
// no longer physical ones (the directory came to be, or moved behind a link). A directory of another session is
// taken from it only if the change says so.
type registerDir struct{ Site }

func (a registerDir) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	w := a.wanted(c.Subjects[0])
	outcome := reconcile.Already
	err := a.Machine.UpdateRegistry(ctx, func(r *home.Registry) error {
		if holder, ok := r.ByCwd[w.Dir]; ok && !c.Takes && home.Sanitize(holder) != w.Name && a.Machine.Session(holder).Exists() {
			return fmt.Errorf("%s is registered to session %q by now", w.Dir, holder)
		}
		for dir, name := range r.ByCwd {
			if name != w.Name || dir == w.Dir {
				continue
			}
			if phys, _, err := home.Physical(dir); err == nil && phys != dir {
				delete(r.ByCwd, dir)
				outcome = reconcile.Done
			}
		}
		if name, ok := r.ByCwd[w.Dir]; !ok || home.Sanitize(name) != w.Name {
			r.Set(w.Dir, w.Name)
			outcome = reconcile.Done
		}
		return nil
	})
	if err != nil {
		return reconcile.Failed, err
	}
	return outcome, nil
}
