import threading

from handful.service.encoding.room import Room


def test_pixels_in_the_works_stay_under_the_bound() -> None:
    room = Room(100)
    lock = threading.Lock()
    held, most = 0, 0

    def work(pixels: int) -> None:
        nonlocal held, most
        for _ in range(50):
            with room.taken(pixels):
                with lock:
                    held += pixels
                    most = max(most, held)
                with lock:
                    held -= pixels

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in (30, 40, 60, 100, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert held == 0
    assert 0 < most <= 100


def test_a_picture_larger_than_the_room_is_let_in_alone() -> None:
    room = Room(100)
    inside = threading.Event()
    with room.taken(1_000):
        other = threading.Thread(target=lambda: _enter(room, inside))
        other.start()
        assert not inside.wait(0.02)
    other.join(30)
    assert inside.is_set()


def test_small_pictures_do_not_overtake_a_large_one_that_waits() -> None:
    room = Room(100)
    order: list[str] = []
    arrived = threading.Event()

    def enter(name: str, pixels: int) -> None:
        arrived.set()
        with room.taken(pixels):
            order.append(name)

    with room.taken(60):
        large = threading.Thread(target=enter, args=("large", 80))
        large.start()
        assert arrived.wait(30)
        while not room._turn.locked():
            pass
        small = threading.Thread(target=enter, args=("small", 10))
        small.start()
        small.join(0.02)
        assert order == []
    large.join(30)
    small.join(30)
    assert order == ["large", "small"]


def _enter(room: Room, inside: threading.Event) -> None:
    with room.taken(1):
        inside.set()
