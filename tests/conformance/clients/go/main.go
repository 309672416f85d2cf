// What users of Go's clientv3 do, done to a cluster: client HOST:PORT,…
// Asks its parent on stdout to "kill N" or "restart N" a member and reads "done". Exit code 0: all held.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/namespace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const patience = 60 * time.Second

var (
	endpoints []string
	answers   = bufio.NewScanner(os.Stdin)
)

// check ends the test that runs; main reports it.
func check(holds bool, format string, values ...interface{}) {
	if !holds {
		panic(fmt.Errorf(format, values...))
	}
}

func must(err error) { check(err == nil, "unexpected error: %v", err) }

func equal(got, want interface{}) { check(reflect.DeepEqual(got, want), "got %v, want %v", got, want) }

func ask(line string) {
	fmt.Println(line)
	check(answers.Scan() && answers.Text() == "done", "no answer to %q", line)
}

func keys(kvs []*mvccpb.KeyValue) string {
	var names []string
	for _, kv := range kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), "k/"))
	}
	return strings.Join(names, "")
}

type client = *clientv3.Client

func put(ctx context.Context, c client, key, value string, options ...clientv3.OpOption) *clientv3.PutResponse {
	response, err := c.Put(ctx, key, value, options...)
	must(err)
	return response
}

func get(ctx context.Context, c client, key string, options ...clientv3.OpOption) *clientv3.GetResponse {
	response, err := c.Get(ctx, key, options...)
	must(err)
	return response
}

func putInEveryForm(ctx context.Context, c client) {
	response := put(ctx, c, "k/a", "1")
	check(response.Header.ClusterId != 0 && response.Header.MemberId != 0 && response.Header.RaftTerm != 0, "header")
	check(response.PrevKv == nil, "a fresh key has no previous pair")
	equal(string(put(ctx, c, "k/a", "2", clientv3.WithPrevKV()).PrevKv.Value), "1")
	lease, err := c.Grant(ctx, 600)
	must(err)
	put(ctx, c, "k/a", "3", clientv3.WithLease(lease.ID))
	put(ctx, c, "k/a", "4", clientv3.WithIgnoreLease())
	equal(get(ctx, c, "k/a").Kvs[0].Lease, int64(lease.ID))
	put(ctx, c, "k/a", "", clientv3.WithIgnoreValue())
	kv := get(ctx, c, "k/a").Kvs[0]
	equal([]interface{}{string(kv.Value), kv.Lease, kv.Version}, []interface{}{"4", int64(0), int64(5)})
	_, err = c.Put(ctx, "k/none", "", clientv3.WithIgnoreValue())
	equal(err, rpctypes.ErrKeyNotFound)
	_, err = c.Put(ctx, "k/a", "x", clientv3.WithLease(12345))
	equal(err, rpctypes.ErrLeaseNotFound)
	_, err = c.Put(ctx, "", "x")
	equal(err, rpctypes.ErrEmptyKey)
	_, err = c.Put(ctx, "k/large", strings.Repeat("x", 1600*1024))
	equal(err, rpctypes.ErrRequestTooLarge)
}

func rangeInEveryForm(ctx context.Context, c client) {
	for _, pair := range []string{"a3", "b1", "c2", "b8", "b9", "c2"} {
		put(ctx, c, "k/"+pair[:1], pair[1:])
	}
	prefix := clientv3.WithPrefix()
	equal(keys(get(ctx, c, "k/", prefix).Kvs), "abc")
	equal(keys(get(ctx, c, "k/a", clientv3.WithRange("k/c")).Kvs), "ab")
	equal(keys(get(ctx, c, "k/b", clientv3.WithFromKey(), clientv3.WithLimit(1)).Kvs), "b")
	limited := get(ctx, c, "k/", prefix, clientv3.WithLimit(2))
	equal([]interface{}{keys(limited.Kvs), limited.More, limited.Count}, []interface{}{"ab", true, int64(3)})
	counted := get(ctx, c, "k/", prefix, clientv3.WithCountOnly())
	equal([]interface{}{len(counted.Kvs), counted.Count}, []interface{}{0, int64(3)})
	equal(string(get(ctx, c, "k/a", clientv3.WithKeysOnly()).Kvs[0].Value), "")
	equal(keys(get(ctx, c, "k/", prefix, clientv3.WithSerializable(), clientv3.WithLimit(0)).Kvs), "abc")
	for target, order := range map[clientv3.SortTarget]string{clientv3.SortByKey: "abc", clientv3.SortByVersion: "acb",
		clientv3.SortByCreateRevision: "abc", clientv3.SortByModRevision: "abc", clientv3.SortByValue: "cab"} {
		equal(keys(get(ctx, c, "k/", prefix, clientv3.WithSort(target, clientv3.SortAscend)).Kvs), order)
		backwards := get(ctx, c, "k/", prefix, clientv3.WithSort(target, clientv3.SortDescend)).Kvs
		equal(keys(backwards), string([]byte{order[2], order[1], order[0]}))
	}
	equal(keys(get(ctx, c, "k/", clientv3.WithFirstKey()...).Kvs), "a")
	equal(keys(get(ctx, c, "k/", clientv3.WithLastKey()...).Kvs), "c")
	equal(keys(get(ctx, c, "k/", clientv3.WithFirstCreate()...).Kvs), "a")
	equal(keys(get(ctx, c, "k/", clientv3.WithLastRev()...).Kvs), "c")
	b := get(ctx, c, "k/b").Kvs[0]
	equal(keys(get(ctx, c, "k/", prefix, clientv3.WithMinModRev(b.ModRevision)).Kvs), "bc")
	equal(keys(get(ctx, c, "k/", prefix, clientv3.WithMaxModRev(b.ModRevision)).Kvs), "ab")
	equal(keys(get(ctx, c, "k/", prefix, clientv3.WithMinCreateRev(b.CreateRevision)).Kvs), "bc")
	equal(keys(get(ctx, c, "k/", prefix, clientv3.WithMaxCreateRev(b.CreateRevision)).Kvs), "ab")
	equal(string(get(ctx, c, "k/b", clientv3.WithRev(b.CreateRevision)).Kvs[0].Value), "1")
	_, err := c.Get(ctx, "k/b", clientv3.WithRev(b.ModRevision+1000))
	equal(err, rpctypes.ErrFutureRev)
}

func deleteInEveryForm(ctx context.Context, c client) {
	for _, key := range []string{"a", "b", "c", "d"} {
		put(ctx, c, "k/"+key, key)
	}
	deleted, err := c.Delete(ctx, "k/a", clientv3.WithPrevKV())
	must(err)
	equal(string(deleted.PrevKvs[0].Value), "a")
	deleted, err = c.Delete(ctx, "k/b", clientv3.WithRange("k/d"))
	must(err)
	equal(deleted.Deleted, int64(2))
	deleted, err = c.Delete(ctx, "k/", clientv3.WithPrefix())
	must(err)
	equal(deleted.Deleted, int64(1))
}

func txnInEveryForm(ctx context.Context, c client) {
	put(ctx, c, "k/a", "1")
	rev := get(ctx, c, "k/a").Kvs[0].ModRevision
	compares := []clientv3.Cmp{
		clientv3.Compare(clientv3.Value("k/a"), "=", "1"), clientv3.Compare(clientv3.Value("k/a"), "!=", "2"),
		clientv3.Compare(clientv3.Version("k/a"), ">", 0), clientv3.Compare(clientv3.CreateRevision("k/a"), "=", rev),
		clientv3.Compare(clientv3.ModRevision("k/a"), "<", rev+1), clientv3.Compare(clientv3.LeaseValue("k/a"), "=", 0),
		clientv3.Compare(clientv3.CreateRevision("k/none"), "=", 0),
		clientv3.Compare(clientv3.Version("k/").WithPrefix(), "=", 1),
	}
	nested := clientv3.OpTxn(compares[:1], []clientv3.Op{clientv3.OpPut("k/c", "3")}, nil)
	response, err := c.Txn(ctx).If(compares...).
		Then(clientv3.OpPut("k/b", "2"), clientv3.OpGet("k/", clientv3.WithPrefix()), nested, clientv3.OpDelete("k/a")).
		Else(clientv3.OpPut("k/no", "")).Commit()
	must(err)
	check(response.Succeeded, "all comparisons hold")
	equal(keys(response.Responses[1].GetResponseRange().Kvs), "ab")
	check(response.Responses[2].GetResponseTxn().Succeeded, "nested")
	equal(response.Responses[3].GetResponseDeleteRange().Deleted, int64(1))
	equal(keys(get(ctx, c, "k/", clientv3.WithPrefix()).Kvs), "bc")
	response, err = c.Txn(ctx).If(clientv3.Compare(clientv3.Value("k/none"), "=", "")).Else(clientv3.OpGet("k/b")).Commit()
	must(err)
	check(!response.Succeeded && len(response.Responses[0].GetResponseRange().Kvs) == 1, "a missing key has no value")
	_, err = c.Txn(ctx).Then(clientv3.OpPut("k/x", "1"), clientv3.OpPut("k/x", "2")).Commit()
	equal(err, rpctypes.ErrDuplicateKey)
	many := make([]clientv3.Op, 129)
	for i := range many {
		many[i] = clientv3.OpGet("k/x")
	}
	_, err = c.Txn(ctx).Then(many...).Commit()
	equal(err, rpctypes.ErrTooManyOps)
}

func compaction(ctx context.Context, c client) {
	old := put(ctx, c, "k/a", "1").Header.Revision
	now := put(ctx, c, "k/a", "2").Header.Revision
	_, err := c.Compact(ctx, now)
	must(err)
	_, err = c.Get(ctx, "k/a", clientv3.WithRev(old))
	equal(err, rpctypes.ErrCompacted)
	_, err = c.Compact(ctx, now, clientv3.WithCompactPhysical())
	equal(err, rpctypes.ErrCompacted)
	response := <-c.Watch(ctx, "k/a", clientv3.WithRev(old))
	check(response.Canceled && response.CompactRevision == now, "watch of the past: %v", response)
}

func nextEvents(ctx context.Context, watch clientv3.WatchChan, count int) []*clientv3.Event {
	var events []*clientv3.Event
	for len(events) < count {
		select {
		case response, open := <-watch:
			check(open, "the watch ended")
			must(response.Err())
			events = append(events, response.Events...)
		case <-ctx.Done():
			must(ctx.Err())
		}
	}
	return events
}

func watchInEveryForm(ctx context.Context, c client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The member that serves the watch may not have applied the last writes yet: "from now on" is said by revision.
	next := get(ctx, c, "k/a").Header.Revision + 1
	all := c.Watch(ctx, "k/", clientv3.WithPrefix(), clientv3.WithRev(next), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	check((<-all).Created, "the first answer tells that the watch stands")
	first := put(ctx, c, "k/a", "1").Header.Revision
	put(ctx, c, "k/a", "2")
	_, err := c.Delete(ctx, "k/a")
	must(err)
	events := nextEvents(ctx, all, 3)
	check(events[0].IsCreate() && events[1].IsModify() && events[2].Type == clientv3.EventTypeDelete, "%v", events)
	equal(string(events[2].PrevKv.Value), "2")
	noPut := c.Watch(ctx, "k/a", clientv3.WithRev(first), clientv3.WithFilterPut())
	equal(nextEvents(ctx, noPut, 1)[0].Type, clientv3.EventTypeDelete)
	noDelete := c.Watch(ctx, "k/a", clientv3.WithRev(first), clientv3.WithFilterDelete(), clientv3.WithFragment())
	equal(len(nextEvents(ctx, noDelete, 2)), 2)
	ranged := c.Watch(ctx, "k/b", clientv3.WithRange("k/d"), clientv3.WithRev(first), clientv3.WithProgressNotify())
	put(ctx, c, "k/d", "outside")
	put(ctx, c, "k/c", "inside")
	equal(string(nextEvents(ctx, ranged, 1)[0].Kv.Key), "k/c")
	nextEvents(ctx, all, 2)
	must(c.RequestProgress(ctx))
	for response := range all {
		if response.IsProgressNotify() {
			break
		}
	}
}

func leases(ctx context.Context, c client) {
	lease, err := c.Grant(ctx, 500)
	must(err)
	put(ctx, c, "k/leased", "x", clientv3.WithLease(lease.ID))
	left, err := c.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	must(err)
	check(left.TTL > 400 && left.GrantedTTL == 500 && string(left.Keys[0]) == "k/leased", "%v", left)
	renewed, err := c.KeepAliveOnce(ctx, lease.ID)
	must(err)
	equal(renewed.TTL, int64(500))
	listed, err := c.Leases(ctx)
	must(err)
	found := false
	for _, each := range listed.Leases {
		found = found || each.ID == lease.ID
	}
	check(found, "the lease is listed")
	_, err = c.Revoke(ctx, lease.ID)
	must(err)
	equal(get(ctx, c, "k/leased").Count, int64(0))
	_, err = c.Revoke(ctx, lease.ID)
	equal(err, rpctypes.ErrLeaseNotFound)
	_, err = c.KeepAliveOnce(ctx, lease.ID)
	equal(err, rpctypes.ErrLeaseNotFound)
	left, err = c.TimeToLive(ctx, lease.ID)
	must(err)
	equal(left.TTL, int64(-1))
}

func locksElectionsAndStm(ctx context.Context, c client) {
	session, err := concurrency.NewSession(c, concurrency.WithTTL(60))
	must(err)
	other, err := concurrency.NewSession(c, concurrency.WithTTL(60))
	must(err)
	mutex := concurrency.NewMutex(session, "k-mutex")
	must(mutex.Lock(ctx))
	equal(concurrency.NewMutex(other, "k-mutex").TryLock(ctx), concurrency.ErrLocked)
	must(mutex.Unlock(ctx))

	election := concurrency.NewElection(session, "k-election")
	must(election.Campaign(ctx, "first"))
	watched, cancel := context.WithCancel(ctx)
	observed := concurrency.NewElection(other, "k-election").Observe(watched)
	equal(string((<-observed).Kvs[0].Value), "first")
	must(election.Proclaim(ctx, "second"))
	equal(string((<-observed).Kvs[0].Value), "second")
	cancel()
	must(election.Resign(ctx))

	put(ctx, c, "k/count", "0")
	done := make(chan error)
	for i := 0; i < 8; i++ {
		go func() {
			_, err := concurrency.NewSTM(c, func(stm concurrency.STM) error {
				var count int
				if _, err := fmt.Sscan(stm.Get("k/count"), &count); err != nil {
					return err
				}
				stm.Put("k/count", fmt.Sprint(count+1))
				return nil
			})
			done <- err
		}()
	}
	for i := 0; i < 8; i++ {
		must(<-done)
	}
	equal(string(get(ctx, c, "k/count").Kvs[0].Value), "8")
	must(session.Close())
	must(other.Close())
}

func namespaces(ctx context.Context, c client) {
	kv := namespace.NewKV(c.KV, "k/")
	_, err := kv.Put(ctx, "inner", "x")
	must(err)
	equal(string(get(ctx, c, "k/inner").Kvs[0].Value), "x")
}

func maintenance(ctx context.Context, c client) {
	members, err := c.MemberList(ctx)
	must(err)
	equal(len(members.Members), len(endpoints))
	revision := put(ctx, c, "k/a", "1").Header.Revision
	hashes := map[uint32]bool{}
	var leader uint64
	for _, endpoint := range endpoints {
		state, err := c.Status(ctx, endpoint)
		must(err)
		check(state.Leader != 0 && state.RaftIndex >= state.RaftAppliedIndex && state.DbSize > 0, "status: %v", state)
		leader = state.Leader
		// Each member has applied the put once it answers a linearizable read.
		direct, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: patience})
		must(err)
		get(ctx, direct, "k/a")
		hash, err := direct.HashKV(ctx, endpoint, revision)
		must(err)
		hashes[hash.Hash] = true
		must(direct.Close())
	}
	equal(len(hashes), 1)
	alarms, err := c.AlarmList(ctx)
	must(err)
	equal(len(alarms.Alarms), 0)
	for _, member := range members.Members {
		direct, err := clientv3.New(clientv3.Config{Endpoints: member.ClientURLs, DialTimeout: patience})
		must(err)
		if member.ID == leader {
			target := members.Members[0].ID
			if target == leader {
				target = members.Members[1].ID
			}
			_, err = direct.MoveLeader(ctx, target)
			must(err)
		} else {
			_, err = direct.MoveLeader(ctx, member.ID)
			check(err != nil, "only the leader hands over")
		}
		must(direct.Close())
		if member.ID == leader {
			break
		}
	}
}

// putOnce asks until a leader takes it; what an earlier try did after all is not done again.
func putOnce(ctx context.Context, c client, key, value string) {
	for {
		_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", value)).Else(clientv3.OpPut(key, value)).Commit()
		if err == nil {
			return
		}
		code := status.Code(err)
		var known rpctypes.EtcdError
		if errors.As(err, &known) {
			code = known.Code()
		}
		check(code == codes.Unavailable, "a lost leader is unavailable, not %v", err)
	}
}

func killNineOfEveryMember(ctx context.Context, c client) {
	lease, err := c.Grant(ctx, 10)
	must(err)
	put(ctx, c, "alive", "yes", clientv3.WithLease(lease.ID))
	keepAlive, err := c.KeepAlive(ctx, lease.ID)
	must(err)
	<-keepAlive
	watchContext, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := c.Watch(watchContext, "event", clientv3.WithCreatedNotify())
	check((<-watch).Created, "created")
	for member := range endpoints { // one of them is the one each stream runs to
		ask(fmt.Sprintf("kill %d", member))
		value := fmt.Sprint(member)
		putOnce(ctx, c, "event", value)
		events := nextEvents(ctx, watch, 1)
		check(len(events) == 1 && string(events[0].Kv.Value) == value, "each event once, in order: %v", events)
		for len(keepAlive) > 0 {
			<-keepAlive
		}
		renewed, open := <-keepAlive
		check(open && renewed.TTL == 10, "the lease is kept alive")
		ask(fmt.Sprintf("restart %d", member))
	}
	equal(get(ctx, c, "alive").Count, int64(1))
	_, err = c.Revoke(ctx, lease.ID)
	must(err)
}

func main() {
	endpoints = strings.Split(os.Args[1], ",")
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: patience})
	must(err)
	tests := []struct {
		name string
		body func(context.Context, client)
	}{
		{"put in every form", putInEveryForm},
		{"range in every form", rangeInEveryForm},
		{"delete in every form", deleteInEveryForm},
		{"transaction in every form", txnInEveryForm},
		{"compaction", compaction},
		{"watch in every form", watchInEveryForm},
		{"leases", leases},
		{"locks, elections, software transactions", locksElectionsAndStm},
		{"namespaces", namespaces},
		{"maintenance", maintenance},
		{"a watch resumes and a lease lives across kill -9 of every member", killNineOfEveryMember},
	}
	for _, test := range tests {
		func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			defer func() {
				if failure := recover(); failure != nil {
					fmt.Printf("FAILED: %s: %v\n", test.name, failure)
					os.Exit(1)
				}
			}()
			_, err := c.Delete(ctx, "k/", clientv3.WithPrefix())
			must(err)
			test.body(ctx, c)
			fmt.Println("ok:", test.name)
		}()
	}
	must(c.Close())
}
