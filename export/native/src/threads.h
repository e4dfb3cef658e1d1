// Worker threads of a program, and the choice of the instruction set.
#pragma once

#include <functional>
#include <memory>

#include "plan.h"

namespace dd {

// Work on a range that is cut into blocks. One call at a time has the workers; another one that comes meanwhile works alone.
class Threads {
 public:
  explicit Threads(int count);
  ~Threads();
  int count() const;
  // Calls `work(thread, first, count)` until all of 0 .. total-1 is done; blocks are at most `most` long and, the last one
  // apart, a multiple of `multiple`.
  void blocks(long total, int most, int multiple, const std::function<void(int, long, int)>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The kernels of an instruction set that this machine runs, by name, or the best ones for an empty name; null if there is none.
const Kernels* kernels_named(const char* name);

}  // namespace dd
