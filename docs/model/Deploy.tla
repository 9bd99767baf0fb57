------------------------------- MODULE Deploy -------------------------------
(***************************************************************************)
(* One lane and deployments that change its routes: generations, ticks,    *)
(* barriers, positions, parked deliveries, and dispatchers of different    *)
(* generations that crash, freeze, lose their lease without knowing it and *)
(* whose sends arrive late.                                                *)
(* What is left out: how many messages a window holds, and reading on      *)
(* while others are in the air (Lane.tla); how a snapshot is read          *)
(* (test/property/reader.test.ts); deltas planned for other shards         *)
(* (test/property/barriers.test.ts).                                       *)
(***************************************************************************)
EXTENDS Integers, FiniteSets, TLC

CONSTANTS
  Olds, News,   \* dispatchers that have the old routes, and those that have the new ones
  Last,         \* messages are 1 .. Last, in the order of the log
  Key,          \* Key[m]: the key of message m
  Topics,       \* each says which topics the messages have: topic[m] is "old" or "new" (what alone wants it), or "both"
  Generations,  \* that may be deployed: even ones have the new routes, odd ones the old ones again
  \* Guards; FALSE takes one away.
  TickNamesGeneration,     \* nothing is read by a tick that sees another generation deployed than the dispatcher's
  BarrierAtomic,           \* no tick comes between the snapshot of a barrier and the commit of its deployment
  AcquireChecksGeneration, \* a lane is taken by dispatchers of the deployed generation only
  ProvenBeforeSend,        \* an opened lane hands out nothing before a tick has named its dispatcher's generation
  StoredBarriers,          \* an opened lane reads up to each barrier by the routes of before it
  LanesEndAtChange,        \* a dispatcher that gets another generation ends the lanes that it has
  BarriersStay,            \* a barrier is forgotten only when the stored position lies behind it
  Leases,                  \* a holder looks at its lease before it sends
  BarriersFirst            \* a lane that is opened reads the barriers before its position, not after it

Messages == 1 .. Last
Holders == Olds \cup News
Routes(g) == IF g % 2 = 1 THEN "old" ELSE "new"
Mine(h) == IF h \in Olds THEN "old" ELSE "new"
None == "none"

VARIABLES
  topic,
  visible,          \* what is committed; a snapshot is what this was at some moment
  deployed,         \* the newest generation
  barrier, stored,  \* barrier[g]: the snapshot of g's deployment; which of them the database still has
  pending,          \* a deployment that took its snapshot and is not committed; 0 with BarrierAtomic
  gen,              \* gen[h]: the generation that dispatcher h has learnt it has; 0: it has not started
  owner,            \* who took the lane last
  position, parked, \* as stored
  mind,             \* mind[h]: what dispatcher h has in memory
  late,             \* sent by those who are past hearing an answer, and not arrived
  got               \* what the receiver got

log == <<topic, visible>>
deployment == <<deployed, barrier, stored, pending, gen>>
vars == <<log, deployment, owner, position, parked, mind, late, got>>

(* A position is a delta and how far it was read: `to`, the snapshot up to which it goes; `left`, what lies ahead in it; `gen`,
   the generation it is read under. A holder knows besides: `known`, the barriers it has read; `here`, the generation whose
   barrier it has passed; `until`, that at whose barrier it stops (0: none); `rows`, the parked ones as it believes they are
   stored. Stages: taken, then half open, open, reading; ending. *)
Idle == [stage |-> "out", to |-> {}, left |-> {}, gen |-> 0, known |-> {}, here |-> 0, until |-> 0,
         flying |-> {}, settled |-> {}, parked |-> {}, rows |-> {}]

Init ==
  /\ topic \in Topics /\ visible = {}
  /\ deployed = 1 /\ barrier = [g \in Generations |-> {}] /\ stored = {} /\ pending = 0
  /\ gen = [h \in Holders |-> IF h \in Olds THEN 1 ELSE 0]
  /\ owner = None
  /\ position = [to |-> {}, left |-> {}, gen |-> 1] /\ parked = {}
  /\ mind = [h \in Holders |-> Idle]
  /\ late = {} /\ got = {}

-----------------------------------------------------------------------------
(* To publish draws a seq and shows nothing: only the commit is a step. Commits come in any order, so a message may have been
   published before a deployment, and before all that was read meanwhile. Those of one key are serialised: the next is
   published when the one before is committed. *)
Appear == \E m \in Messages \ visible :
  /\ \A x \in Messages : x < m /\ Key[x] = Key[m] => x \in visible
  /\ visible' = visible \cup {m}
  /\ UNCHANGED <<topic, deployment, owner, position, parked, mind, late, got>>

(* A newer generation is deployed, and its barrier is what the log holds: one step, as the table lock makes it. *)
Deploy ==
  /\ BarrierAtomic
  /\ deployed + 1 \in Generations
  /\ deployed' = deployed + 1
  /\ barrier' = [barrier EXCEPT ![deployed + 1] = visible]
  /\ stored' = stored \cup {deployed + 1}
  /\ UNCHANGED <<log, pending, gen, owner, position, parked, mind, late, got>>

(* The same without the lock: the snapshot first, and what it says is seen later. *)
DeployBegins ==
  /\ ~BarrierAtomic /\ pending = 0
  /\ deployed + 1 \in Generations
  /\ pending' = deployed + 1
  /\ barrier' = [barrier EXCEPT ![deployed + 1] = visible]
  /\ UNCHANGED <<log, deployed, stored, gen, owner, position, parked, mind, late, got>>
DeployEnds ==
  /\ pending # 0
  /\ deployed' = pending /\ stored' = stored \cup {pending} /\ pending' = 0
  /\ UNCHANGED <<log, barrier, gen, owner, position, parked, mind, late, got>>

(* Deployments, and dispatchers that start, forget barriers that the lane has passed. (Where stale holders send nothing, the
   one who opens the lane never looks for these: the step is left out of the search.) *)
Forget == \E g \in stored :
  /\ IF BarriersStay THEN ~Leases /\ position.gen >= g ELSE TRUE
  /\ stored' = stored \ {g}
  /\ UNCHANGED <<log, deployed, barrier, pending, gen, owner, position, parked, mind, late, got>>

(* A dispatcher whose configuration is deployed learns the generation: it starts, or its own came back as a newer one. *)
Adopt(h) ==
  /\ Mine(h) = Routes(deployed) /\ gen[h] < deployed
  /\ gen' = [gen EXCEPT ![h] = deployed]
  /\ IF ~LanesEndAtChange THEN UNCHANGED <<mind, late>>
     ELSE IF mind[h].stage = "reading" THEN mind' = [mind EXCEPT ![h].stage = "ending"] /\ UNCHANGED late
     ELSE mind' = [mind EXCEPT ![h] = Idle] /\ late' = late \cup (mind[h].flying \ got)
  /\ UNCHANGED <<log, deployed, barrier, stored, pending, owner, position, parked, got>>

-----------------------------------------------------------------------------
(* A lease ends whenever it likes. Who took the lane before may not know; but it looks at its lease before it sends, and the
   fence refuses what it commits, so what it has in mind changes nothing any more, and the search forgets it. What it has sent
   may still arrive. *)
Take(h) ==
  /\ gen[h] > 0
  /\ AcquireChecksGeneration => gen[h] = deployed
  /\ owner' = h
  /\ LET gone == IF Leases THEN Holders ELSE {h} IN
     /\ mind' = [x \in Holders |-> IF x = h THEN [Idle EXCEPT !.stage = "taken"] ELSE IF x \in gone THEN Idle ELSE mind[x]]
     /\ late' = late \cup (UNION {mind[x].flying : x \in gone} \ got)
  /\ UNCHANGED <<log, deployment, position, parked, got>>

(* What was sent may still arrive. *)
Crash(h) ==
  /\ mind[h].stage # "out"
  /\ mind' = [mind EXCEPT ![h] = Idle]
  /\ late' = late \cup (mind[h].flying \ got)
  /\ UNCHANGED <<log, deployment, owner, position, parked, got>>

Least(g, barriers) == g \in barriers /\ \A x \in barriers : x >= g
(* The first barrier beyond a generation; 0: there is none. *)
Beyond(here, barriers) ==
  IF \E g \in barriers : g > here THEN CHOOSE g \in barriers : Least(g, {x \in barriers : x > here}) ELSE 0

(* The generation under which it reads on from there: one that has drained up to a barrier has passed it. *)
RECURSIVE Passing(_, _, _)
Passing(here, snapshot, barriers) ==
  LET next == Beyond(here, barriers)
  IN IF next > 0 /\ barrier[next] = snapshot THEN Passing(next, snapshot, barriers) ELSE here

(* The lane is opened, in two statements: position and barriers. *)
Known == IF StoredBarriers THEN stored ELSE {}
OpenFirst(h) ==
  /\ mind[h].stage = "taken"
  /\ mind' = [mind EXCEPT ![h] =
       IF BarriersFirst THEN [@ EXCEPT !.stage = "half open", !.known = Known]
       ELSE [@ EXCEPT !.stage = "half open", !.to = position.to, !.left = position.left, !.gen = position.gen]]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>
OpenSecond(h) ==
  /\ mind[h].stage = "half open"
  /\ LET from == IF BarriersFirst THEN position ELSE [to |-> mind[h].to, left |-> mind[h].left, gen |-> mind[h].gen]
         known == IF BarriersFirst THEN mind[h].known ELSE Known
         here == IF from.left = {} THEN Passing(from.gen, from.to, known) ELSE from.gen
     IN mind' = [mind EXCEPT ![h] = [Idle EXCEPT
          !.stage = "open", !.to = from.to, !.left = from.left, !.gen = from.gen, !.here = here,
          !.until = Beyond(here, known), !.parked = parked, !.rows = parked]]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>

Ticks(h) == TickNamesGeneration => deployed = gen[h]

(* No page is handed out before a tick was taken. *)
Prove(h) ==
  /\ mind[h].stage = "open"
  /\ ProvenBeforeSend => Ticks(h)
  /\ mind' = [mind EXCEPT ![h].stage = "reading"]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>

(* Up to a barrier a lane wants what the routes of before it wanted, else what its dispatcher's own do. *)
Wants(h, m) ==
  topic[m] \in {IF mind[h].until > 0 THEN Routes(mind[h].until - 1) ELSE Mine(h), "both"}

Done(h) == {m \in mind[h].left : m \in mind[h].settled \cup mind[h].parked \/ ~Wants(h, m)}

(* A delta is drained, and the next is begun: up to the barrier at which it stops, *)
ToBarrier(h) ==
  /\ mind[h].stage = "reading" /\ mind[h].until > 0
  /\ mind[h].left = Done(h)
  /\ LET to == barrier[mind[h].until] IN
     /\ mind[h].to # to
     /\ mind' = [mind EXCEPT ![h] = [@ EXCEPT !.to = to, !.left = to \ mind[h].to, !.gen = mind[h].here, !.settled = {}]]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>

(* or up to a fresh tick. *)
ToTick(h) ==
  /\ mind[h].stage = "reading" /\ mind[h].until = 0
  /\ Ticks(h)
  /\ mind[h].left = Done(h)
  /\ <<mind[h].to, mind[h].gen>> # <<visible, gen[h]>>
  /\ mind' = [mind EXCEPT ![h] = [@ EXCEPT !.to = visible, !.left = visible \ mind[h].to, !.gen = gen[h], !.settled = {}]]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>

(* At a barrier, or after an error, it is opened again from what is stored. *)
Reopen(h) ==
  /\ mind[h].stage \in {"open", "reading"}
  /\ mind[h].flying = {}
  /\ mind' = [mind EXCEPT ![h] = [Idle EXCEPT !.stage = "taken"]]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>

-----------------------------------------------------------------------------
(* It looks at its lease before it sends. The send itself may take any time: see Arrive. *)
HasLease(h) == Leases => owner = h

Busy(h, k) == \E x \in mind[h].flying : Key[x] = k
Held(h, k) == \E x \in mind[h].parked : Key[x] = k
First(h, m) == \A x \in mind[h].left : x < m /\ Key[x] = Key[m] => x \in Done(h)

(* The fast path: the first unsettled message of its key, and none of the key parked. *)
Send(h) == \E m \in mind[h].left \ (Done(h) \cup mind[h].flying) :
  /\ mind[h].stage = "reading" /\ HasLease(h)
  /\ First(h, m) /\ ~Busy(h, Key[m]) /\ ~Held(h, Key[m])
  /\ mind' = [mind EXCEPT ![h].flying = @ \cup {m}]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>

(* Its key is held back: it is parked behind the others, and the cursor may pass. *)
Hold(h) == \E m \in mind[h].left \ (Done(h) \cup mind[h].flying) :
  /\ mind[h].stage = "reading" /\ HasLease(h)
  /\ First(h, m) /\ Held(h, Key[m])
  /\ mind' = [mind EXCEPT ![h].parked = @ \cup {m}]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>

(* The first parked one of its key is tried again, whatever is deployed by now. *)
Retry(h) == \E m \in mind[h].parked :
  /\ mind[h].stage \in {"open", "reading"} /\ HasLease(h)
  /\ ~Busy(h, Key[m])
  /\ \A x \in mind[h].parked : Key[x] = Key[m] => x >= m
  /\ mind' = [mind EXCEPT ![h].flying = @ \cup {m}]
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>

Delivered(h, m) ==
  [mind EXCEPT ![h] = [@ EXCEPT !.flying = @ \ {m}, !.settled = (@ \cup {m}) \cap mind[h].left, !.parked = @ \ {m}]]
Parks(h, m) == [mind EXCEPT ![h] = [@ EXCEPT !.flying = @ \ {m}, !.parked = @ \cup {m}]]

(* It arrives. The sender hears so, or that it failed: then it is parked. *)
Arrive(h) == \E m \in mind[h].flying :
  /\ got' = got \cup {m}
  /\ late' = late \ {m}
  /\ mind' = Delivered(h, m) \/ mind' = Parks(h, m)
  /\ UNCHANGED <<log, deployment, owner, position, parked>>
(* It does not arrive, and the sender hears that it failed. *)
Fail(h) == \E m \in mind[h].flying :
  /\ mind' = Parks(h, m)
  /\ UNCHANGED <<log, deployment, owner, position, parked, late, got>>
(* It arrives when the sender is dead, or has lost the lane. A second copy of what has arrived changes nothing. *)
ArriveLate == \E m \in late :
  /\ got' = got \cup {m}
  /\ late' = late \ {m}
  /\ UNCHANGED <<log, deployment, owner, position, parked, mind>>

(* What lies ahead of the low-water mark: it stands before the first message that is not done. *)
Unpassed(h) == {m \in mind[h].left : \E x \in mind[h].left \ Done(h) : x <= m}

(* The position, and the parked rows that have changed, in one transaction guarded by the lane's row. *)
Commit(h) ==
  /\ mind[h].stage \in {"reading", "ending"}
  /\ IF owner = h
     THEN /\ position' = [to |-> mind[h].to, left |-> Unpassed(h), gen |-> mind[h].gen]
          /\ parked' = (parked \ (mind[h].rows \ mind[h].parked)) \cup (mind[h].parked \ mind[h].rows)
          /\ mind' = [mind EXCEPT ![h] =
               [@ EXCEPT !.left = Unpassed(h), !.settled = @ \cap Unpassed(h), !.rows = mind[h].parked]]
          /\ UNCHANGED late
     ELSE /\ mind' = [mind EXCEPT ![h] = Idle]
          /\ late' = late \cup (mind[h].flying \ got)
          /\ UNCHANGED <<position, parked>>
  /\ UNCHANGED <<log, deployment, owner, got>>

Next ==
  \/ Appear \/ Deploy \/ DeployBegins \/ DeployEnds \/ Forget \/ ArriveLate
  \/ \E h \in Holders :
       \/ Adopt(h) \/ Take(h) \/ Crash(h) \/ OpenFirst(h) \/ OpenSecond(h) \/ Prove(h) \/ ToBarrier(h) \/ ToTick(h)
       \/ Reopen(h) \/ Send(h) \/ Hold(h) \/ Retry(h) \/ Arrive(h) \/ Fail(h) \/ Commit(h)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* The generation that a visible message falls under: the one before the first barrier that sees it, or the deployed one. It
   goes by all barriers that ever were, also those that are forgotten. *)
TreatedBy(m) ==
  LET seen == {g \in Generations : g <= deployed /\ m \in barrier[g]}
  IN IF seen = {} THEN deployed ELSE (CHOOSE g \in seen : Least(g, seen)) - 1
Wanted(m) == topic[m] \in {Routes(TreatedBy(m)), "both"}
Passed == position.to \ position.left

(* Nothing is lost: what the cursor has passed and its treatment wants has arrived, or is written down. *)
NothingLost == \A m \in Passed : Wanted(m) => m \in got \cup parked

(* Nothing comes that its treatment does not want. *)
OnlyWanted == \A m \in got \cup parked : Wanted(m)

(* First deliveries keep the order of their key, whichever routes want them: nothing arrives before an earlier message of its
   key that is wanted. *)
NoGap == \A b \in got : \A a \in visible : a < b /\ Key[a] = Key[b] /\ Wanted(a) => a \in got
InOrder == [][\A b \in got' \ got : \A a \in visible : a < b /\ Key[a] = Key[b] /\ Wanted(a) => a \in got]_vars

(* The stored position never goes back, nor does its generation. *)
CursorForward == [][Passed \subseteq position'.to \ position'.left /\ position'.gen >= position.gen]_vars

-----------------------------------------------------------------------------
(* Two messages of one key, and one of another between them. *)
KeyOf == [m \in Messages |-> IF m = 2 THEN "x" ELSE "k"]
OneKey == [m \in Messages |-> "k"]
AllTopics == [Messages -> {"old", "new", "both"}]
(* A few of them, for searches that are too large otherwise. *)
InTurn == {[m \in Messages |-> IF m % 2 = 1 THEN "new" ELSE "old"], [m \in Messages |-> IF m % 2 = 1 THEN "old" ELSE "new"]}
Alike == Permutations(Olds) \cup Permutations(News)
=============================================================================
