package home

import "sync"

// turn is the queue for one lock within this process. Parallel changes of one file are common, and a queue of
// goroutines is faster than polling the flock.
type turn struct {
	path string
	free chan struct{} // holds one: whose turn it is
	here int           // how many wait or have it
}

var queues struct {
	sync.Mutex
	of map[string]*turn
}

// joinQueue is the turn of a path. Who joined leaves: with end if the turn came, else with leave. The last
// one takes the queue along, so a daemon does not keep one for every file that it ever touched.
func joinQueue(path string) *turn {
	queues.Lock()
	defer queues.Unlock()
	t := queues.of[path]
	if t == nil {
		t = &turn{path: path, free: make(chan struct{}, 1)}
		if queues.of == nil {
			queues.of = map[string]*turn{}
		}
		queues.of[path] = t
	}
	t.here++
	return t
}

func (t *turn) end() {
	<-t.free
	t.leave()
}

func (t *turn) leave() {
	queues.Lock()
	defer queues.Unlock()
	if t.here--; t.here == 0 {
		delete(queues.of, t.path)
	}
}
