function filtered = medfilt2 (image, window)
% Median over a window (3 x 3 by default), zero outside; of images of any size.
    if nargin < 2
        window = [3, 3];
    end
    [h, w] = size (image);
    before = floor ((window - 1) / 2);
    padded = zeros (h + window(1) - 1, w + window(2) - 1);
    padded(before(1) + (1:h), before(2) + (1:w)) = image;
    stack = zeros (h, w, prod (window));
    n = 0;
    for dy = 0:(window(1) - 1)
        for dx = 0:(window(2) - 1)
            n += 1;
            stack(:, :, n) = padded(dy + (1:h), dx + (1:w));
        end
    end
    filtered = cast (median (stack, 3), class (image));
end
