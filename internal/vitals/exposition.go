package vitals

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// labels are the values of a series' labels, at most two.
type labels [2]string

// family is the series of one metric.
type family struct {
	name, kind, help string
	labels           []string
	values           map[labels]float64
}

func gauge(name, help string, label ...string) family {
	return family{name: name, kind: "gauge", help: help, labels: label, values: map[labels]float64{}}
}

func counter(name, help string, label ...string) family {
	return family{name: name, kind: "counter", help: help, labels: label, values: map[labels]float64{}}
}

func key(label []string) (k labels) {
	copy(k[:], label)
	return k
}

func (f *family) set(v float64, label ...string) { f.values[key(label)] = v }
func (f *family) add(v float64, label ...string) { f.values[key(label)] += v }

// all starts the series of each value at zero.
func (f *family) all(words []string) {
	for _, w := range words {
		f.set(0, w)
	}
}

// count sets the series of each value; what is not in n is zero.
func (f *family) count(words []string, n map[string]int) {
	for _, w := range words {
		f.set(float64(n[w]), w)
	}
}

// histogram counts observations in buckets.
type histogram struct {
	name, help string
	bounds     []float64
	counts     []uint64 // per bound, not cumulated
	n          uint64
	sum        float64
}

func (h *histogram) observe(v float64) {
	if h.counts == nil {
		h.counts = make([]uint64, len(h.bounds))
	}
	if i, _ := slices.BinarySearch(h.bounds, v); i < len(h.bounds) {
		h.counts[i]++
	}
	h.n++
	h.sum += v
}

type printer struct{ bytes.Buffer }

func (p *printer) head(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (p *printer) family(f *family) {
	if len(f.values) == 0 {
		return
	}
	p.head(f.name, f.kind, f.help)
	series := slices.SortedFunc(maps.Keys(f.values), func(a, b labels) int { return slices.Compare(a[:], b[:]) })
	for _, l := range series {
		p.WriteString(f.name)
		for i, name := range f.labels {
			p.WriteByte("{,"[min(i, 1)])
			p.WriteString(name + `="` + escape.Replace(l[i]) + `"`)
		}
		if len(f.labels) > 0 {
			p.WriteByte('}')
		}
		p.value(f.values[l])
	}
}

func (p *printer) value(v float64) {
	p.WriteByte(' ')
	p.WriteString(strconv.FormatFloat(v, 'f', -1, 64))
	p.WriteByte('\n')
}

func (p *printer) histogram(h *histogram) {
	p.head(h.name, "histogram", h.help)
	below := uint64(0)
	for i, bound := range h.bounds {
		if h.counts != nil {
			below += h.counts[i]
		}
		fmt.Fprintf(p, "%s_bucket{le=\"%s\"} %d\n", h.name, strconv.FormatFloat(bound, 'g', -1, 64), below)
	}
	fmt.Fprintf(p, "%s_bucket{le=\"+Inf\"} %d\n%s_sum", h.name, h.n, h.name)
	p.value(h.sum)
	fmt.Fprintf(p, "%s_count %d\n", h.name, h.n)
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
