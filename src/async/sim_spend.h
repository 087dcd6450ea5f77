// Work takes no simulated time but what its author says.
#pragma once

#include "async/sim_loop.h"

namespace colony::async {

// From here on LinkStream::clock() of this loop's streams is ahead of now() by so much more. Timers and now() stay.
void spend(SimLoop& loop, Duration d);

}  // namespace colony::async
